-- Who comes first, and who waits.
alter table jobs add column priority bigint not null default 0;  -- an administrator's: the higher comes first, whosever it is
alter table jobs add column urgency bigint not null default 0;   -- the owner's, among their own
alter table jobs add column paused bigint not null default 0;    -- 1: not to be started until it is resumed
