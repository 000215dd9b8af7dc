-- Whose turn it is in the queue: what an owner has running, and when a job of theirs was last started.
create index jobs_turn on jobs (owner, started);
create index jobs_of_owner_by_state on jobs (owner, state);
