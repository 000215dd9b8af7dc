-- Where people want to be told what happens, and what is to be told: deliveries are written with what they tell, and sent afterwards.
create table webhooks (
    id text primary key,
    owner text not null references accounts (id),
    token text not null references tokens (id), -- made, or switched on, with it; ends with it
    url text not null,
    events text not null,               -- words between spaces
    repo text not null default '',      -- key of the one repo it is about
    secret text not null,
    former_secret text,                 -- signs beside the other until then
    former_until bigint,
    created bigint not null,
    disabled text,                      -- why; null: it is on
    failures bigint not null default 0, -- attempts that failed in a row
    lease_until bigint not null default 0
);
create index webhooks_owner on webhooks (owner);
create index webhooks_repo on webhooks (repo);

create table webhook_deliveries (
    id text primary key,
    webhook text not null,
    number bigint not null,             -- within its webhook, in the order of events
    event text not null,
    repo text not null default '',      -- key of the repo it tells about
    body text not null,
    created bigint not null,
    state text not null,                -- waiting | delivered | failed | dropped
    attempts bigint not null default 0,
    next_attempt bigint not null,
    status bigint,                      -- of the last answer
    answer text not null default '',    -- its beginning, or why there was none
    ended bigint
);
create index webhook_deliveries_due on webhook_deliveries (state, next_attempt);
create index webhook_deliveries_of on webhook_deliveries (webhook, number);
