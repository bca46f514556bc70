/* base/log.h: formatting for meshsub/log.h. A line above the level costs one comparison. */
#ifndef MSUB_BASE_LOG_H
#define MSUB_BASE_LOG_H
#include "meshsub/log.h"
void msub__log_write(const msub_log *l, msub_log_level level, const char *module, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
#define MSUB__LOG(l, lv, module, ...)                                                                               \
  do {                                                                                                              \
    const msub_log *msub__log_to = (l);                                                                             \
    if (msub__log_to && msub__log_to->fn && (lv) <= msub__log_to->level) {                                          \
      msub__log_write(msub__log_to, (lv), (module), __VA_ARGS__);                                                   \
    }                                                                                                               \
  } while (0)
#endif
