/* meshsub/log.h: log lines as a callback. The libraries format a line and hand it over; where it goes, and with what time
 * stamp, is the program's business. Bytes that came from a peer are escaped before they reach the callback. */
#ifndef MESHSUB_LOG_H
#define MESHSUB_LOG_H
#include "base.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum msub_log_level { MSUB_LOG_ERROR, MSUB_LOG_WARN, MSUB_LOG_INFO, MSUB_LOG_DEBUG, MSUB_LOG_TRACE } msub_log_level;

/* `module`: a static string ("host", "yamux", …). `line`: one line without newline, NUL-terminated, valid for the call.
 * Called on the thread of the object that logs; must not call back into it. */
typedef struct msub_log {
  void (*fn)(void *ud, msub_log_level level, const char *module, const char *line);
  void *ud;
  msub_log_level level; /* lines above this level are not even formatted */
} msub_log;

/* Writes `in` to `out` as printable ASCII: bytes outside 0x20..0x7e, the backslash and the quote become \xNN, \\ and \".
 * Always NUL-terminates when cap > 0; what does not fit is cut and the text then ends in "...". Returns out. */
MSUB_API char *msub_escape(char *out, size_t cap, msub_bytes in);

#ifdef __cplusplus
}
#endif
#endif
