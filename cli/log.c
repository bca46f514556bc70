#include "cli/log.h"
#include <string.h>

const char *const log_module_names[N_LOG_MODULES] = {
#define X(name) #name,
  LOG_MODULES(X)
#undef X
};
static const char *const levels[] = { "off", "error", "warn", "info", "debug", "trace" };
#define LEVELS (sizeof levels / sizeof *levels)

int log_level_named(const char *name) {
  for (size_t i = 0; i < LEVELS; i++)
    if (strcmp(levels[i], name) == 0) return (int)i - 1;
  return -2;
}

const char *log_level_name(int level) { return levels[level + 1]; }

bool log_shows(const log_rules *r, msub_log_level level, const char *module) {
  int most = r->level;
  for (size_t i = 0; i < N_LOG_MODULES; i++)
    if (r->has[i] && strcmp(log_module_names[i], module) == 0) most = r->of[i];
  return (int)level <= most;
}

json_t *log_json(msub_log_level level, const char *module, const char *line) {
  json_t *j = json_object();
  json_object_set_new(j, "ns", json_integer((json_int_t)wall_ns()));
  json_object_set_new(j, "level", json_string(log_level_name((int)level)));
  json_object_set_new(j, "module", json_string(module));
  json_object_set_new(j, "text", json_string(line));
  return j;
}

void log_put(const log_rules *r, const char *program, msub_log_level level, const char *module, const char *line) {
  FILE *to = error_begin();
  if (r->json) put_json(to, log_json(level, module, line));
  else fprintf(to, "%s: %s %s: %s\n", program, log_level_name((int)level), module, line);
  error_end();
}
