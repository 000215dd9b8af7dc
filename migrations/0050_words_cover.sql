-- What a search by words asks of each repo it finds, by the number the repo has in the index of words: it is read from here alone, and not from as
-- many places of the listing. Derived like the listing itself.
create index listing_document on listing
    (document, kind, private, id, here, task, modality, architecture, license, library, author, namespace, parameters, top1, sources, name, downloads);
