-- The chain of passes: each carries the hash of the one before it. Passes that were recorded before this
-- migration have no hash yet; the program that applied it chains them, oldest first.

alter table passes add column previous text not null default '', add column hash text not null default '';

-- A program that knows no chain records nothing any more, rather than a pass outside of it.
alter table passes alter column previous drop default, alter column hash drop default;

-- The newest hash, the number of its pass, and how many passes are kept.
create table pass_chain (
    is_only boolean not null primary key default true check (is_only),
    hash text not null,
    newest bigint not null,
    kept bigint not null
);
