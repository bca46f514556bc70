/* meshsub/trace_file.h (libmeshsub-host): what an engine does, in a file. docs/tracing.md says how to read one.
 *
 *   msub_trace_file_opts to;  msub_trace_file_opts_init(&to);  to.path = "node.pb.gz";
 *   msub_trace_file_open(&to, &file, &why);
 *   static void on_trace(void *ud, msub_host *h, const msub_event *ev) { msub_trace_file_add(file, msub_host_engine(h), ev); }
 *   …                                                                    (after msub_host_free)
 *   msub_trace_file_close(file);
 *
 * Events are encoded at once, in the engine's thread, into a bounded buffer; a thread of the file's own compresses and writes. The engine
 * never waits for it: what finds the buffer full is lost whole and counted. A write that fails (a full disk) is told once, and tried again
 * every second from the byte where it failed, so that the file goes on without a gap in a record when there is room again. What was
 * written can be read within about a second, compressed or not.
 *
 * Threads: open, add, counts and close belong to one thread, the engine's. */
#ifndef MESHSUB_TRACE_FILE_H
#define MESHSUB_TRACE_FILE_H
#include "trace.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum msub_trace_format {
  MSUB_TRACE_FILE_BY_NAME, /* what the name ends in, before ".gz": ".jsonl" LINES, ".json" TRACER, else PB */
  MSUB_TRACE_FILE_PB,      /* records, each behind its length as a varint: go's PBTracer */
  MSUB_TRACE_FILE_TRACER,  /* a line each: go's JSONTracer */
  MSUB_TRACE_FILE_LINES    /* a line each with our names; kinds that the format lacks too */
} msub_trace_format;

typedef struct msub_trace_file_opts {
  uint32_t size;            /* set by msub_trace_file_opts_init */
  const char *path;         /* made or emptied. Required; only read by open */
  msub_trace_format format; /* BY_NAME */
  int gzip;                 /* 1: compressed, 0: not, -1 (default): when the name ends in ".gz" */
  size_t buffer_bytes;      /* encoded events that wait, at most: 8 MiB; 64 KiB … 1 GiB. Taken as it is needed */
  const msub_mem *mem;      /* NULL: malloc. Used by the engine's thread only; zlib's 260 KiB are its own */
  msub_log log;             /* told once that the file cannot be written; from add and close. Default: silent */
} msub_trace_file_opts;
MSUB_API void msub_trace_file_opts_init(msub_trace_file_opts *o);

typedef struct msub_trace_file msub_trace_file;
/* INVAL: no path, or a number out of range; IO: the file cannot be made, or no thread; NOMEM. *why (may be NULL): a static text, or the
 * system's words. */
MSUB_API int msub_trace_file_open(const msub_trace_file_opts *o, msub_trace_file **out, const char **why);
/* An event of this engine, inside its trace operation. Never blocks on the file. Several engines of one thread may write to one file: a
 * record says whose it is. */
MSUB_API void msub_trace_file_add(msub_trace_file *f, const msub_engine *e, const msub_event *ev);

typedef struct msub_trace_file_counts {
  uint64_t kinds[MSUB_EVENTS]; /* events put into the buffer, by kind */
  uint64_t events;             /* their sum */
  uint64_t lost;               /* found the buffer full, or were still waiting when a file that cannot be written was closed */
  uint64_t bytes;              /* in the file */
  uint64_t write_errors;       /* tries that failed */
} msub_trace_file_counts;
MSUB_API void msub_trace_file_count(msub_trace_file *f, msub_trace_file_counts *out);

/* Writes what waits, with one more try if need be, and frees. IO: some of it is not in the file. `out` (may be NULL): the last counts. NULL is
 * fine. The engine must not trace into it any more. */
MSUB_API int msub_trace_file_close(msub_trace_file *f, msub_trace_file_counts *out);

#ifdef __cplusplus
}
#endif
#endif
