-- Where an act came from: the token it was done with, the caller's address, and the id of the request.
alter table audit add column token text not null default '';
alter table audit add column address text not null default '';
alter table audit add column request text not null default '';
