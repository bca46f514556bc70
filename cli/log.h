/* Which log lines are shown, by module, and how: as text or as JSON. */
#ifndef CLI_LOG_H
#define CLI_LOG_H
#include "cli/text.h"
#include <meshsub/log.h>

#define LOG_OFF (-1)
/* The modules that a level can be given to. */
#define LOG_MODULES(X) X(host) X(stream) X(transport) X(gossipsub) X(randomsub) X(floodsub) X(trace)
enum {
#define X(name) LOG_MODULE_##name,
  LOG_MODULES(X)
#undef X
  N_LOG_MODULES
};
extern const char *const log_module_names[N_LOG_MODULES];

typedef struct log_rules {
  int level; /* a msub_log_level, or LOG_OFF */
  bool has[N_LOG_MODULES];
  int of[N_LOG_MODULES];
  bool json;
} log_rules;

/* "warn" and the like, "off"; -2: no such level. */
int log_level_named(const char *name);
const char *log_level_name(int level);
bool log_shows(const log_rules *r, msub_log_level level, const char *module);
/* {"ns","level","module","text"} */
json_t *log_json(msub_log_level level, const char *module, const char *line);
/* One line on stderr. */
void log_put(const log_rules *r, const char *program, msub_log_level level, const char *module, const char *line);
#endif
