-- What finds the items of a data set's version again in other data sets, and what an examination of its labels found.
alter table version_details add column prints text not null default ''; -- base64, or empty
alter table version_details add column examination text not null default ''; -- JSON, or empty
