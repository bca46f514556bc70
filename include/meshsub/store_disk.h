/* meshsub/store_disk.h: the store on disk (libmeshsub-store): a folder with a table of keys (LMDB) and a log (segment files).
 *
 *   DIR/version   what wrote it          DIR/lock       who has it open
 *   DIR/data.mdb  the keys (LMDB)        DIR/log/ *.seg  the records
 *
 * Durable is what survives a power cut: on_durable(OK) comes after fdatasync() has answered. A thread of the store's own does that, for
 * all that waits at once, so many small batches cost what one costs; the owner never waits for a disk, but in open() and free(). Reads
 * are the owner's own and do touch the disk when the file is not in memory.
 *
 * Of what was not told yet a crash leaves batches whole and in order, and records without a gap; records can be there without the
 * batches submitted before them, never batches without the records appended and synced before them.
 *
 * Errors that on_durable tells: LIMIT: no room, on the disk or in max_bytes; what was stored before stands, and the next batch may
 * succeed. IO: the disk failed; from then on nothing is written, because nobody knows what a failed fdatasync() has left: every batch
 * fails, reads go on; try again (msub_store_disk_retry), or close it and open it again. msub_store_disk_why() has the words for it.
 *
 * One process has it open at a time (or several, all read-only): opening is refused while another one has it. Local file systems
 * only: LMDB maps the file, and locks of NFS cannot be relied on.
 * Threads: an object belongs to its owner's thread. A process that forks must not use it in the child. */
#ifndef MESHSUB_STORE_DISK_H
#define MESHSUB_STORE_DISK_H
#include "log.h"
#include "store.h"

#ifdef __cplusplus
extern "C" {
#endif

#define MSUB_STORE_DISK_VERSION 1u /* of the folder; others are refused */
#define MSUB_STORE_WHY 1400u       /* bytes of a text that says what was wrong and what to do */

typedef struct msub_store_disk msub_store_disk;
typedef struct msub_store_disk_opts {
  uint32_t size;           /* set by msub_store_disk_opts_init */
  const char *dir;         /* copied; at most 1,000 bytes. Made with mode 0700 if it is not there; its parent has to be. A folder with other files is refused */
  bool must_exist;         /* do not make one */
  bool read_only;          /* submit, append, sync and truncate answer STATE; nothing in it is changed */
  bool verify;             /* look at every page and record before it is used. Off: only when it was not closed properly, the pages only */
  bool cut_damage;         /* a damaged log is cut off where the damage begins, instead of being refused: records behind it are lost */
  const msub_mem *mem;     /* NULL: malloc. Used by the owner's thread only; LMDB has its own */
  uint64_t map_bytes;      /* of the keys' file that is mapped at first: 64 MiB; doubled when it is full */
  uint64_t max_bytes;      /* … up to this: 16 GiB (32-bit machines: 1 GiB), then LIMIT */
  uint32_t segment_bytes;  /* of a log's file: 16 MiB; 4 KiB to 1 GiB */
  size_t max_waiting;      /* batches and syncs that are not told yet: 1,024, then LIMIT */
  size_t max_waiting_bytes; /* of these, and of records that are not synced: 64 MiB, then LIMIT */
} msub_store_disk_opts;
MSUB_API void msub_store_disk_opts_init(msub_store_disk_opts *o);

/* `why`: MSUB_STORE_WHY bytes, or NULL: the thing, what is wrong with it, the next step; empty when it is opened.
 * INVAL (options), NOTFOUND (must_exist, read_only), CLAIMED (another process has it open: its pid is in `why`), UNSUPPORTED (another
 * version), MALFORMED (no store, or a damaged one), LIMIT (the disk is full), IO, NOMEM. Nothing that was stored is changed by a failure. */
MSUB_API int msub_store_disk_open(const msub_store_disk_opts *o, msub_store_disk **out, char *why);
/* Waits until everything that was submitted is written (what is appended and not synced is, too); on_durable is not called any more.
 * OK, or the error of what could not be written. */
MSUB_API int msub_store_disk_free(msub_store_disk *d);
MSUB_API msub_store msub_store_disk_store(msub_store_disk *d);

/* Readable when turn() has something to tell. Who asks for it promises to watch it: until it is asked for, next_deadline() makes
 * the owner look every millisecond while something waits, and from then on it answers MSUB_NEVER meanwhile. Not to be read or closed. */
MSUB_API int msub_store_disk_fd(msub_store_disk *d);
/* The last failure that a turn told, in words, with what to do; "" if there was none. Valid until the next turn. */
MSUB_API const char *msub_store_disk_why(const msub_store_disk *d);

/* Nothing is written any more (IO, above). */
MSUB_API bool msub_store_disk_broken(const msub_store_disk *d);
/* Tries to go on after that, with the same object, listener and descriptor. After a failed fdatasync() the kernel may show pages that are not on the disk, so
 * nothing of what it shows is believed: what is cached of the files is given up as far as the system lets go of it, and all of them are read, walked and
 * compared with their checksums. They have to hold the newest transaction and every record that was told as durable here. Then writing goes on. What was told as
 * failed may be there after all, batches whole; records that were not told as durable are there or not, without a gap: log_range() says where the
 * log goes on. What fails is `why` (as open's), and it can be tried again: meanwhile reads of keys may answer IO, since what cannot be verified is not shown.
 * Takes as long as reading the whole store. STATE: it is not broken, or something waits that was not told yet, or called from on_durable;
 * MALFORMED, LIMIT, IO, NOMEM. */
MSUB_API int msub_store_disk_retry(msub_store_disk *d, char *why);

/* X(name): since it was opened.
 * batches, syncs: that became durable. commits: the transactions that it took. failed: batches and syncs that were told an error. refused: calls
 * answered with LIMIT because too much waits. damaged: reads that met a value or record that is not what was stored, or that cannot be
 * read: IO. grown: times that more of the keys' file was mapped. retried: times that writing
 * went on after a failure. */
#define MSUB_STORE_DISK_COUNTS(X) X(batches) X(syncs) X(commits) X(failed) X(refused) X(damaged) X(grown) X(retried)
typedef struct msub_store_disk_counts {
#define MSUB_X(name) uint64_t name;
  MSUB_STORE_DISK_COUNTS(MSUB_X)
#undef MSUB_X
  uint64_t waiting, waiting_bytes; /* now */
  uint64_t keys, key_bytes;        /* in the file; key_bytes: of the file, what is free in it included */
} msub_store_disk_counts;
MSUB_API void msub_store_disk_count(msub_store_disk *d, msub_store_disk_counts *out);

/* Writes the keys' file anew without what is free in it. Opens and closes the store: nobody may have it open. `before`, `after`: bytes of
 * the file. Errors as of open; when it fails the old file stands. `o`: dir; cut_damage also cuts the log. */
MSUB_API int msub_store_disk_compact(const msub_store_disk_opts *o, uint64_t *before, uint64_t *after, char *why);

#ifdef __cplusplus
}
#endif
#endif
