-- Whose turn it is to write: the token of the newest turn, in one row. Each write of a pass holds it against
-- its own, in its own transaction.

create table fence (
    is_only integer not null primary key default 1 check (is_only = 1),
    token integer not null check (token >= 0)
) strict;

insert into fence (token) values (0);
