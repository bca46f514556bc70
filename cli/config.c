#include "cli/config.h"
#include "cli/log.h"
#include "cli/yaml.h"
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LIST_MAX 1024
#define VALUE_BYTES 1024

/* X(kind, member, key, option). Keys of a map have a dot. */
#define TOP(X)                                                                                                     \
  X(TEXT, key, "key", "--key")                                                                                     \
  X(LIST, listen, "listen", "--listen")                                                                            \
  X(LIST, connect, "connect", "--connect")                                                                         \
  X(LIST, direct, "direct", "--direct")                                                                            \
  X(LIST, topics, "topics", "--topic")                                                                             \
  X(LIST, relay, "relay", "--relay")                                                                               \
  X(LIST, topics_allow, "topics_allow", "--topics-allow")                                                          \
  X(TEXT, topics_regex, "topics_regex", "--topics-regex")                                                          \
  X(LIST, filter, "filter", "--filter")                                                                            \
  X(LIST, discover, "discover", "--discover")                                                                      \
  X(TEXT, store, "store", "--store")                                                                           \
  X(BOOL, store_or_memory, "store_or_memory", "--store-or-memory")                                             \
  X(LIST, rendezvous, "rendezvous", "--rendezvous")                                                                \
  X(BOOL, rendezvous_point, "rendezvous_point", "--rendezvous-point")                                              \
  X(BOOL, mdns, "mdns", "--mdns")                                                                                  \
  X(TEXT, max_memory, "max_memory", "--max-memory")                                                                \
  X(TEXT, dns_server, "dns_server", "--dns-server")                                                                \
  X(TEXT, router, "router", "--router")                                                                            \
  X(TEXT, network, "network", "--network")                                                                         \
  X(TEXT, transport, "transport", "--transport")                                                                   \
  X(TEXT, sign, "sign", "--sign")                                                                                  \
  X(BOOL, unsigned_, "unsigned", "--unsigned")                                                                     \
  X(TEXT, socket, "socket", "--socket")                                                                            \
  X(TEXT, trace, "trace", "--trace")                                                                               \
  X(TEXT, trace_to, "trace_to", "--trace-to")                                                                      \
  X(BOOL, quiet, "quiet", "--quiet")                                                                               \
  X(BOOL, json, "json", "--json")
#define MESH(X)                                                                                                    \
  X(TEXT, d, "mesh.d", "--d")                                                                                      \
  X(TEXT, dlo, "mesh.dlo", "--dlo")                                                                                \
  X(TEXT, dhi, "mesh.dhi", "--dhi")                                                                                \
  X(TEXT, heartbeat, "mesh.heartbeat", "--heartbeat")                                                              \
  X(BOOL, px, "mesh.px", "--px")                                                                                   \
  X(TEXT, gater, "mesh.gater", "--gater")
#define CONNECTIONS(X)                                                                                             \
  X(TEXT, max_inbound, "connections.max_inbound", "--max-inbound")                                                 \
  X(TEXT, max_outbound, "connections.max_outbound", "--max-outbound")                                              \
  X(TEXT, max_per_ip, "connections.max_per_ip", "--max-per-ip")                                                    \
  X(TEXT, max_per_net, "connections.max_per_net", "--max-per-net")                                                 \
  X(TEXT, low_water, "connections.low_water", "--low-water")                                                       \
  X(TEXT, high_water, "connections.high_water", "--high-water")                                                    \
  X(TEXT, min_peers, "connections.min_peers", "--min-peers")
#define METRICS(X)                                                                                                 \
  X(TEXT, listen, "metrics.listen", "--metrics")                                                                   \
  X(LIST, hosts, "metrics.hosts", "--metrics-host")                                                                \
  X(BOOL, open_to_network, "metrics.open_to_network", "--metrics-open-to-network")
#define NAMES(X)                                                                                                   \
  X(BOOL, on, "ipns.on", "--ipns")                                                                                 \
  X(LIST, follow, "ipns.follow", "--follow")                                                                       \
  X(LIST, keep, "ipns.keep", "--keep")                                                                             \
  X(BOOL, keep_open, "ipns.keep_open", "--keep-open")                                                              \
  X(TEXT, routing, "ipns.routing", "--routing")                                                                    \
  X(BOOL, routing_open, "ipns.routing_open_to_network", "--routing-open-to-network")
#define LOG(X)                                                                                                     \
  X(TEXT, level, "log.level", "--log")                                                                             \
  X(TEXT, format, "log.format", "--log-format")

typedef struct file_mesh {
#define MEMBER_TEXT(m) char *m;
#define MEMBER_BOOL(m) bool *m;
#define MEMBER_LIST(m) char **m; uint32_t m##_count;
#define X(kind, m, k, o) MEMBER_##kind(m)
  MESH(X)
} file_mesh;
typedef struct file_connections {
  CONNECTIONS(X)
} file_connections;
typedef struct file_metrics {
  METRICS(X)
} file_metrics;
typedef struct file_names {
  NAMES(X)
} file_names;
typedef struct file_modules {
#define M(m) char *m;
  LOG_MODULES(M)
#undef M
} file_modules;
typedef struct file_log {
  LOG(X)
  file_modules *modules;
} file_log;
typedef struct file_config {
  TOP(X)
  file_mesh *mesh;
  file_connections *connections;
  file_metrics *metrics;
  file_names *ipns;
  file_log *log;
} file_config;
#undef X

#define MAYBE (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
/* The key within its map. */
#define LAST(k) (strchr(k, '.') ? strchr(k, '.') + 1 : k)
static const cyaml_schema_value_t item = { CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, VALUE_BYTES) };
#define FIELD_TEXT(type, m, k) CYAML_FIELD_STRING_PTR(k, MAYBE, type, m, 0, VALUE_BYTES),
#define FIELD_BOOL(type, m, k) CYAML_FIELD_BOOL_PTR(k, MAYBE, type, m),
#define FIELD_LIST(type, m, k) CYAML_FIELD_SEQUENCE(k, MAYBE, type, m, &item, 0, LIST_MAX),
#define X(kind, m, k, o) FIELD_##kind(file_mesh, m, &k[sizeof "mesh." - 1])
static const cyaml_schema_field_t mesh_fields[] = { MESH(X) CYAML_FIELD_END };
#undef X
#define X(kind, m, k, o) FIELD_##kind(file_connections, m, &k[sizeof "connections." - 1])
static const cyaml_schema_field_t connection_fields[] = { CONNECTIONS(X) CYAML_FIELD_END };
#undef X
#define X(kind, m, k, o) FIELD_##kind(file_metrics, m, &k[sizeof "metrics." - 1])
static const cyaml_schema_field_t metrics_fields[] = { METRICS(X) CYAML_FIELD_END };
#undef X
#define X(kind, m, k, o) FIELD_##kind(file_names, m, &k[sizeof "ipns." - 1])
static const cyaml_schema_field_t names_fields[] = { NAMES(X) CYAML_FIELD_END };
#undef X
#define X(m) CYAML_FIELD_STRING_PTR(#m, MAYBE, file_modules, m, 0, VALUE_BYTES),
static const cyaml_schema_field_t module_fields[] = { LOG_MODULES(X) CYAML_FIELD_END };
#undef X
#define X(kind, m, k, o) FIELD_##kind(file_log, m, &k[sizeof "log." - 1])
static const cyaml_schema_field_t log_fields[] = { LOG(X) CYAML_FIELD_MAPPING_PTR("modules", MAYBE, file_log, modules, module_fields), CYAML_FIELD_END };
#undef X
#define X(kind, m, k, o) FIELD_##kind(file_config, m, k)
static const cyaml_schema_field_t top_fields[] = { TOP(X) CYAML_FIELD_MAPPING_PTR("mesh", MAYBE, file_config, mesh, mesh_fields),
                                                   CYAML_FIELD_MAPPING_PTR("connections", MAYBE, file_config, connections, connection_fields),
                                                   CYAML_FIELD_MAPPING_PTR("metrics", MAYBE, file_config, metrics, metrics_fields),
                                                   CYAML_FIELD_MAPPING_PTR("ipns", MAYBE, file_config, ipns, names_fields),
                                                   CYAML_FIELD_MAPPING_PTR("log", MAYBE, file_config, log, log_fields), CYAML_FIELD_END };
#undef X
static const cyaml_schema_value_t schema = { CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, file_config, top_fields) };

/* One value, or a list of them; n == 0: the file does not say it. */
typedef struct entry {
  const char *key, *option;
  const char **values; /* of take() */
  unsigned *lines;
  size_t n;
  bool is_bool;
} entry;

struct config {
  char *file;
  msub_bytes text;
  file_config *data;
  char *modules[N_LOG_MODULES]; /* "host=debug" */
  entry entries[80];
  size_t n;
};

static entry *entry_of(config *k, const char *key, const char *option) {
  entry *e = &k->entries[k->n++];
  *e = (entry){ .key = key, .option = option };
  return e;
}

static void add_value(const config *k, entry *e, const char *path, size_t at, const char *value) {
  e->values = grow(e->values, e->n + 1, sizeof *e->values);
  e->lines = grow(e->lines, e->n + 1, sizeof *e->lines);
  e->values[e->n] = value;
  e->lines[e->n++] = doc_line(k->text, path, at);
}

#define ENTRY_TEXT(from, m, key, option) { entry *e = entry_of(k, key, option); if ((from) && (from)->m) add_value(k, e, key, 0, (from)->m); }
#define ENTRY_BOOL(from, m, key, option) \
  { entry *e = entry_of(k, key, option); e->is_bool = true; if ((from) && (from)->m) add_value(k, e, key, 0, *(from)->m ? "true" : "false"); }
#define ENTRY_LIST(from, m, key, option) \
  { entry *e = entry_of(k, key, option); for (uint32_t i = 0; (from) && i < (from)->m##_count; i++) add_value(k, e, key, i, (from)->m[i]); }

static void collect(config *k) {
  const file_config *f = k->data;
#define X(kind, m, key, option) ENTRY_##kind(f, m, key, option)
  TOP(X)
#undef X
#define X(kind, m, key, option) ENTRY_##kind(f->mesh, m, key, option)
  MESH(X)
#undef X
#define X(kind, m, key, option) ENTRY_##kind(f->connections, m, key, option)
  CONNECTIONS(X)
#undef X
#define X(kind, m, key, option) ENTRY_##kind(f->metrics, m, key, option)
  METRICS(X)
#undef X
#define X(kind, m, key, option) ENTRY_##kind(f->ipns, m, key, option)
  NAMES(X)
#undef X
#define X(kind, m, key, option) ENTRY_##kind(f->log, m, key, option)
  LOG(X)
#undef X
  const file_modules *of = f->log ? f->log->modules : NULL;
#define X(m)                                                                                                  \
  {                                                                                                           \
    entry *e = entry_of(k, "log.modules." #m, "--log");                                                       \
    if (of && of->m) {                                                                                        \
      char *text = k->modules[LOG_MODULE_##m] = take(strlen(of->m) + sizeof #m + 2);                          \
      sprintf(text, "%s=%s", #m, of->m);                                                                      \
      add_value(k, e, "log.modules." #m, 0, text);                                                            \
    }                                                                                                         \
  }
  LOG_MODULES(X)
#undef X
}

config *config_read(const command *c, const char *file) {
  doc_fault f = { 0 };
  void *data = NULL;
  config *k = take(sizeof *k);
  k->file = take(strlen(file) + 1);
  strcpy(k->file, file);
  bool good = doc_slurp(file, &k->text, &f) && doc_read(k->text, &schema, &data, &f);
  k->data = data;
  if (good) {
    collect(k);
    return k;
  }
  if (f.line) say_error(c->program, "%s, line %u: %s", quoted(file), f.line, f.text);
  else say_error(c->program, "%s: %s", quoted(file), f.text);
  config_free(k);
  return NULL;
}

void config_free(config *k) {
  if (!k) return;
  for (size_t i = 0; i < k->n; i++) {
    free(k->entries[i].values);
    free(k->entries[i].lines);
  }
  for (size_t i = 0; i < N_LOG_MODULES; i++) free(k->modules[i]);
  if (k->data) doc_free(&schema, k->data);
  free((void *)(uintptr_t)k->text.p);
  free(k->file);
  free(k);
}

const char *config_file(const config *k) { return k->file; }

int config_apply(const config *k, const command *c, const option_row *rows) {
  origins_begin(k->file);
  for (size_t i = 0; i < k->n; i++) {
    const entry *e = &k->entries[i];
    const option_row *r = option_named(rows, e->option);
    for (size_t v = 0; v < e->n; v++) {
      origin_add(r, e->key, e->values[v], e->lines[v]);
      if (r->given) *r->given = true;
      if (e->is_bool) {
        *(bool *)r->to = strcmp(e->values[v], "true") == 0;
        continue;
      }
      if (r->kind == OPT_MAYBE && !*e->values[v]) continue; /* as --name without a value */
      int code = option_set(c, r, e->values[v]);
      if (code >= 0) return code;
    }
  }
  return -1;
}

text_list config_list(const config *k, const char *option) {
  for (size_t i = 0; i < k->n; i++)
    if (strcmp(k->entries[i].option, option) == 0) return (text_list){ k->entries[i].values, k->entries[i].n };
  return (text_list){ NULL, 0 };
}

void config_compare(const config *a, const config *b, const char *const *but, void (*differs)(void *ud, const char *key, unsigned line), void *ud) {
  for (size_t i = 0; i < a->n; i++) {
    const entry *x = &a->entries[i], *y = &b->entries[i];
    bool same = x->n == y->n, left_out = false;
    for (size_t v = 0; same && v < x->n; v++) same = strcmp(x->values[v], y->values[v]) == 0;
    for (size_t o = 0; but[o]; o++) left_out |= strcmp(but[o], x->option) == 0;
    if (!same && !left_out) differs(ud, x->key, y->n ? y->lines[0] : 0);
  }
}

/* ---- printing ---- */

static void print_text(const char *text) {
  json_t *j = json_stringn_nocheck(text, strlen(text));
  char *quoted_text = j ? json_dumps(j, JSON_ENCODE_ANY | JSON_ENSURE_ASCII) : NULL; /* JSON is YAML */
  fputs(quoted_text ? quoted_text : "\"\"", stdout);
  free(quoted_text);
  json_decref(j);
}

static void print_value(const option_row *r) {
  const text_list *l = r->to;
  switch (r->kind) {
  case OPT_FLAG: fputs(*(const bool *)r->to ? "true" : "false", stdout); break;
  case OPT_NUMBER: printf("%" PRIu64, *(const uint64_t *)r->to); break;
  case OPT_DURATION: fputs(duration_text(*(const uint64_t *)r->to), stdout); break;
  case OPT_LIST:
    putchar('[');
    for (size_t i = 0; i < l->n; i++) {
      if (i) fputs(", ", stdout);
      print_text(l->v[i]);
    }
    putchar(']');
    break;
  default: print_text(*(const char *const *)r->to ? *(const char *const *)r->to : ""); break;
  }
}

static bool is_set(const option_row *r) {
  switch (r->kind) {
  case OPT_FLAG: return *(const bool *)r->to;
  case OPT_LIST: return ((const text_list *)r->to)->n > 0;
  case OPT_MAYBE:
  case OPT_NUMBER:
  case OPT_DURATION: return r->given && *r->given;
  default: return *(const char *const *)r->to != NULL;
  }
}

typedef struct shown {
  const char *map; /* that the lines before belong to */
} shown;

static void print_entry(shown *s, const option_row *rows, const char *key, const char *option) {
  const option_row *r = option_named(rows, option);
  const char *dot = strchr(key, '.');
  if (!is_set(r)) return;
  if (dot && (!s->map || strncmp(s->map, key, (size_t)(dot - key + 1)) != 0)) {
    printf("%.*s:\n", (int)(dot - key), key);
    s->map = key;
  }
  printf("%s%s: ", dot ? "  " : "", dot ? dot + 1 : key);
  print_value(r);
  putchar('\n');
}

/* "info", "host=debug": a level, and levels of modules. */
static void print_log(shown *s, const option_row *rows) {
  const text_list *l = option_named(rows, "--log")->to;
  const char *level = NULL, *of[N_LOG_MODULES] = { NULL };
  bool any = false;
  for (size_t i = 0; i < l->n; i++) {
    const char *equals = strchr(l->v[i], '=');
    if (!equals) level = l->v[i];
    for (size_t m = 0; equals && m < N_LOG_MODULES; m++)
      if (strncmp(log_module_names[m], l->v[i], (size_t)(equals - l->v[i])) == 0) any = true, of[m] = equals + 1;
  }
  if (!level && !any) return;
  if (!s->map || strncmp(s->map, "log.", 4) != 0) puts("log:");
  if (level) printf("  level: %s\n", level);
  if (any) puts("  modules:");
  for (size_t m = 0; m < N_LOG_MODULES; m++)
    if (of[m]) printf("    %s: %s\n", log_module_names[m], of[m]);
}

void config_print(const option_row *rows) {
  shown s = { 0 };
#define X(kind, m, key, option) if (strcmp(option, "--log") != 0) print_entry(&s, rows, key, option);
  TOP(X) MESH(X) CONNECTIONS(X) METRICS(X) NAMES(X) LOG(X)
#undef X
  print_log(&s, rows);
}
