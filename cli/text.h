/* Text in and out of the programs: errors, JSON lines, hex, base64, lines, clocks. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H
#include "cli/outlet.h"
#include <jansson.h>
#include <meshsub/base.h>
#include <signal.h>
#include <stdio.h>

/* Exit codes of every program. */
enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_LATE = 3 };

/* Memory for small things that live as long as the program. Without memory the program says so and exits
 * with 1. */
void *take(size_t n) __attribute__((malloc));
void *grow(void *p, size_t count, size_t size);
void no_memory(void) __attribute__((noreturn));

/* "program: text" and a newline on stderr. */
void say_error(const char *program, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same for what is printed to it meanwhile, one line. */
FILE *error_begin(void);
void error_end(void);
/* From now on both go there; NULL: to stderr again. What waits in `before` is written first, so that both come in order on a terminal. */
void errors_through(outlet *errors, outlet *before);
/* The text in quotes, unprintable bytes escaped, long ones cut. One of eight buffers in turn: use it at once.
 */
const char *quoted(const char *text);
const char *quoted_bytes(msub_bytes text);
/* A peer id in base58, a binary multiaddress as text; in turn from the same buffers. */
const char *peer_text(msub_bytes id);
const char *addr_text(msub_bytes addr);
/* "90s", "1500ms", "250us": a duration as the options take it. */
const char *duration_text(uint64_t ns);

/* One object on a line of its own; takes the reference. */
void put_json(FILE *out, json_t *object);
/* From now on the memory of JSON is wiped when it is freed: for programs that have secrets in it. */
void json_wipe(void);
/* The same as text, for free(); takes the reference. */
char *json_text(json_t *object);
/* SIGTERM or SIGINT came (loop.h). */
extern volatile sig_atomic_t stop_asked;
/* Flushes; false, and an error is said, when the text could not be written. Once a stop was asked for, what cannot be written is left. */
bool flush_out(const char *program, FILE *out);
json_t *json_hex(msub_bytes bytes);
json_t *json_peer(msub_bytes id);
json_t *json_name(msub_bytes b); /* as it is when it is text, else in hex */
/* Sets KEY, or, when the name is no text, KEY_hex. */
void set_name(json_t *object, const char *key, msub_bytes name);
/* Sets data, or, when it is no text, data_base64. */
void set_data(json_t *object, msub_bytes data);

/* Lower-case hex, NUL-terminated: 2 n + 1 chars. */
void put_hex(char *out, msub_bytes bytes);
/* Hex of either case to bytes of take(); false: not hex. */
bool read_hex(const char *text, uint8_t **out, size_t *n);
/* Base64 with padding, NUL-terminated, of take(). */
char *base64_text(msub_bytes bytes);
/* The bytes of base64 with padding, of take(); false: not base64. */
bool read_base64(const char *text, size_t n, uint8_t **out, size_t *got);
/* UTF-8 without control characters other than tab, newline and return: fit to be shown as it is. */
bool is_text(msub_bytes bytes);

uint64_t mono_ns(void);
uint64_t wall_ns(void);

/* Lines from a descriptor. A line may be at most `max` bytes long. */
typedef struct lines {
  int fd;
  size_t max;
  char *buf;
  size_t from, n, cap, seen; /* unread: from … n; no newline before `seen` */
  bool end, too_long;
} lines;
void lines_init(lines *l, int fd, size_t max);
void lines_free(lines *l);
/* One read(). false: an error (errno). `end` is set at the end of the input. */
bool lines_fill(lines *l);
/* The next whole line without its newline (the last one may lack it). false: fill first, or the end, or
 * too_long. The bytes stand until the next fill, and are followed by a NUL. */
bool lines_next(lines *l, msub_bytes *line);

#endif
