"""The file `index.db`: its tables, what is asked of them, and the threads that ask."""
