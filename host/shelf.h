/* host/shelf.h: the book over the store (meshsub/store.h), in the form of book_value.h.
 *
 *   changed ──▶ waits opts.book.delay_ns with the others ──▶ one batch ──▶ store
 *   start:      store ──▶ 16 values a step: read, its record verified ──▶ book; what is no value is taken away
 *
 * Nothing is written before all is read, so that a peer that comes meanwhile does not cost what was known of it. */
#ifndef MSUB_HOST_SHELF_H
#define MSUB_HOST_SHELF_H
#include "host/book.h"

/* What a wall clock time in the store is worth now: until when on our clock; 0: it is over. ttl_ns: how long it may last at most. */
uint64_t msub__shelf_until(const msub_now *now, int64_t wall_ns, uint64_t ttl_ns);
/* And back. */
int64_t msub__shelf_wall(const msub_now *now, uint64_t until_ns);

/* Only if the options name a store. NOMEM. */
MSUB_MUST int msub__shelf_new(msub_host *h);
/* The entry is not what stands in the store. `new_to_us` false: it only lasts longer than it did, which is written now and then. */
void msub__shelf_changed(msub_host *h, msub__book_entry *e, bool new_to_us);
/* Takes the entry over, which is in the book no longer. */
void msub__shelf_gone(msub_host *h, msub__book_entry *e);
/* Reads what is left to read. true: more is. */
bool msub__shelf_step(msub_host *h);
/* Writes what waits, and ends. */
void msub__shelf_finish(msub_host *h);
#endif
