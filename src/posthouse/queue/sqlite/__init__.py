"""The queue as tables beside the mailstore's, in the same database: so one transaction can hold both."""
