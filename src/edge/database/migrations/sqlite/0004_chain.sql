-- The chain of passes: each carries the hash of the one before it. Passes that were recorded before this
-- migration have no hash yet; the program that applied it chains them, oldest first.

alter table passes add column previous text not null default '';
alter table passes add column hash text not null default '';

-- A program that knows no chain records nothing any more, rather than a pass outside of it.
create trigger passes_are_chained before insert on passes when new.hash = ''
begin
    select raise(abort, 'a pass without its hash');
end;

-- The newest hash, the number of its pass, and how many passes are kept.
create table pass_chain (
    is_only integer not null primary key check (is_only = 1),
    hash text not null,
    newest integer not null,
    kept integer not null
) strict;
