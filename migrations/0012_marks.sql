-- What was found in a blob when it was first published: clean | pickle | unsafe | unscanned; null where nobody has looked.
alter table blobs add column mark text;
