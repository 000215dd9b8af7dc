-- Which token made a token: what is made ends with what made it. Null: made by an account's birth, or on the server's own machine.
alter table tokens add column parent text references tokens (id);
create index tokens_parent on tokens (parent);

-- What the forms of a session carry is computed from its cookie; what was kept of it goes.
update sessions set csrf = '';
