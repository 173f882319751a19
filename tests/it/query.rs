//! Filters, updates, and the options of queries, over HTTP.
