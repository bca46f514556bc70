/* store/log.h: an append-only log in files of one folder, the segments.
 *
 *   owner   append ─▶ chunks, laid out to the byte ─▶ seal ─▶ job ─▶ … ─▶ settle: what it wrote is durable
 *   thread                                            take, flush: puts the chunks of jobs where they belong, and syncs
 *
 * The owner decides where every byte goes, so a job that failed is simply written again, to the same places, with the next one.
 *
 * A segment is named by the number of its first record in 16 hexadecimal digits, ".seg" behind. Numbers are little-endian:
 *
 *   header, 40 bytes   "MSUBLOG1", version u32 = 1, 0 u32, first record u64, kept u64, XXH3-64 of the 32 bytes before
 *   item, 32 bytes     check u32 (of the 28 bytes behind it, seeded with the segment's first record), kind and length u32,
 *                      number u64, durable u64, XXH3-64 of the body seeded with the number; then the body, filled up with 0 to 8 bytes
 *
 *   kind 1, a record: its number. kind 2, a truncation, without a body: its number is the first record that is kept; the newest
 *   segment always knows (`kept` of its header, then its truncations), so those before it can go.
 *
 * `durable` is how many records had been reported as durable when the item was laid out. That tells a torn tail (what a power cut left of
 * writes that nobody was told of: it is cut off) from damage (records that were reported are missing in front of an item that knows
 * of them: opening fails and says so). */
#ifndef MSUB_STORE_LOG_H
#define MSUB_STORE_LOG_H
#include "base/mem.h"
#include "store/os.h"

#define MSUB__LOG_HEADER 40u
#define MSUB__LOG_ITEM 32u

typedef struct msub__log_opts {
  const msub__os *os;
  const msub_mem *mem; /* the owner's; never used by the thread */
  const char *dir;     /* is there */
  uint32_t segment_bytes; /* a segment that has reached it takes no more */
  bool read_only;
  bool cut;         /* damage is cut off as if it were a torn tail */
  uint64_t durable; /* so many records are known to have been durable */
} msub__log_opts;

typedef struct msub__log msub__log;
/* MALFORMED: damage; IO, NOMEM, LIMIT. `why` says what and where. */
int msub__log_open(const msub__log_opts *o, msub__log **out, char *why, size_t why_n);
void msub__log_close(msub__log *l); /* the thread is gone */

/* ---- the owner's ---- */

int msub__log_append(msub__log *l, msub_bytes record, uint64_t *offset);     /* NOMEM; the record is not too long */
int msub__log_read(msub__log *l, uint64_t offset, msub_bytes *record);       /* NOTFOUND, IO (not readable, or damaged), NOMEM */
int msub__log_truncate(msub__log *l, uint64_t first);                        /* INVAL */
void msub__log_range(const msub__log *l, uint64_t *first, uint64_t *next);
uint64_t msub__log_durable(const msub__log *l); /* so many records are */
size_t msub__log_waiting(const msub__log *l); /* bytes in memory */
/* Reads every record that is on the disk; MALFORMED and why, if one is damaged. */
int msub__log_verify(msub__log *l, char *why, size_t why_n);

typedef struct msub__log_chunk msub__log_chunk;
typedef struct msub__log_job {
  msub__log_chunk *first, *last; /* NULL: nothing new */
  uint64_t upto;                 /* the number of the last chunk of this job and all before it */
  uint64_t next, kept;           /* as they are when it is done */
  uint64_t *drop;                /* the segments that go then */
  size_t n_drop;
} msub__log_job;
/* Everything appended and truncated so far as a job. NOMEM: nothing happened. Each job is settled, in order. */
int msub__log_seal(msub__log *l, msub__log_job *job);
void msub__log_settle(msub__log *l, msub__log_job *job, bool ok);

/* ---- the thread's ---- */

void msub__log_take(msub__log *l, const msub__log_job *job); /* each job, in order */
/* Writes what was taken and what a flush before has left. 0, or -errno, and it stays for the next flush; *failed_sync: it was a sync that failed,
 * so what is on the disk is not known. */
int msub__log_flush(msub__log *l, bool *failed_sync);
void msub__log_remove(msub__log *l, const msub__log_job *job); /* the segments that go; after the flush */
#endif
