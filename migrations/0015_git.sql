-- What git calls the bytes of a blob, and the tree of a version: computed when a repo is first cloned, and kept. Each tree says by
-- which form it was made ('1 <hex>'); one of another form is made again.
alter table blobs add column git_name text;
alter table versions add column git_tree text;
