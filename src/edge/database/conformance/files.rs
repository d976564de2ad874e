//! What only one of the two can do wrong: files, processes and signals; servers and passwords.
