//! The registry database: PostgreSQL and SQLite behind one interface. Sole user of `sqlx`; all SQL is here.
