"""POP3, the server side: RFC 1939, 2449, 2595, 5034, 6856."""
