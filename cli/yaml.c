#include "cli/yaml.h"
#include "cli/options.h"
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <yaml.h>

#define NAME_MAX_BYTES 256
#define DEPTH_MAX 16

bool doc_wrong(doc_fault *f, unsigned line, const char *format, ...) {
  va_list args;
  va_start(args, format);
  f->line = line;
  vsnprintf(f->text, sizeof f->text, format, args);
  va_end(args);
  return false;
}

bool doc_slurp(const char *file, msub_bytes *out, doc_fault *f) {
  int fd = open(file, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return doc_wrong(f, 0, "cannot be read: %s", strerror(errno));
  char *buf = take(DOC_BYTES + 2);
  size_t n = 0;
  ssize_t got = 0;
  while (n <= DOC_BYTES && ((got = read(fd, buf + n, DOC_BYTES + 1 - n)) > 0 || (got < 0 && errno == EINTR)))
    if (got > 0) n += (size_t)got;
  int error = errno;
  close(fd);
  bool good = got >= 0 && n <= DOC_BYTES;
  if (got < 0) doc_wrong(f, 0, "cannot be read: %s", strerror(error));
  else if (!good) doc_wrong(f, 0, "longer than %u bytes, the most that is read", DOC_BYTES);
  if (!good) free(buf);
  else *out = (msub_bytes){ (uint8_t *)buf, n };
  return good;
}

/* ---- events ---- */

typedef struct reader {
  yaml_parser_t parser;
  yaml_event_t ev; /* the one in hand */
  bool has;
  doc_fault *f;
} reader;

static bool reader_open(reader *r, msub_bytes text, doc_fault *f) {
  *r = (reader){ .f = f };
  if (!yaml_parser_initialize(&r->parser)) return doc_wrong(f, 0, "out of memory");
  yaml_parser_set_input_string(&r->parser, text.p, text.n);
  return true;
}
static void reader_close(reader *r) {
  if (r->has) yaml_event_delete(&r->ev);
  yaml_parser_delete(&r->parser);
}

static unsigned line_of(const reader *r) { return (unsigned)r->ev.start_mark.line + 1; }

static bool next(reader *r) {
  if (r->has) yaml_event_delete(&r->ev);
  r->has = yaml_parser_parse(&r->parser, &r->ev) != 0;
  if (r->has) return true;
  const yaml_parser_t *p = &r->parser;
  unsigned line = (unsigned)(p->problem_mark.line ? p->problem_mark.line : p->context_mark.line) + 1;
  return doc_wrong(r->f, line, "not YAML: %s; mend the line, or write the file as JSON", p->problem ? p->problem : "malformed");
}

/* Up to the document's mapping. */
static bool enter(reader *r) {
  do
    if (!next(r)) return false;
  while (r->ev.type == YAML_STREAM_START_EVENT || r->ev.type == YAML_DOCUMENT_START_EVENT);
  if (r->ev.type == YAML_MAPPING_START_EVENT) return true;
  return doc_wrong(r->f, line_of(r), r->ev.type == YAML_STREAM_END_EVENT ? "empty; a map of keys and values is wanted"
                                                                          : "a map of keys and values is wanted");
}

/* The value in hand, to its end. */
static bool skip(reader *r) {
  size_t depth = 0;
  for (;;) {
    if (r->ev.type == YAML_MAPPING_START_EVENT || r->ev.type == YAML_SEQUENCE_START_EVENT) depth++;
    if (r->ev.type == YAML_MAPPING_END_EVENT || r->ev.type == YAML_SEQUENCE_END_EVENT) depth--;
    if (depth == 0) return true;
    if (!next(r)) return false;
  }
}

static const char *scalar(const reader *r) { return (const char *)r->ev.data.scalar.value; }
static bool is_key(reader *r) {
  if (r->ev.type == YAML_SCALAR_EVENT) return true;
  return doc_wrong(r->f, line_of(r), "a key must be a plain word");
}

/* ---- names ---- */

static bool add_name(reader *r, size_t max, char ***names, size_t *n) {
  size_t len = r->ev.data.scalar.length;
  if (len == 0 || len > NAME_MAX_BYTES || strlen(scalar(r)) != len)
    return doc_wrong(r->f, line_of(r), "%s: a name has 1 to %u bytes, none of them 0", quoted(scalar(r)), NAME_MAX_BYTES);
  if (*n == max) return doc_wrong(r->f, line_of(r), "more than %zu names; leave some out", max);
  if ((*n & (*n - 1)) == 0) *names = grow(*names, *n ? *n * 2 : 1, sizeof **names);
  char *copy = take(len + 1);
  memcpy(copy, scalar(r), len);
  (*names)[(*n)++] = copy;
  return true;
}

static bool keys_of(reader *r, size_t max, char ***names, size_t *n) {
  if (r->ev.type != YAML_MAPPING_START_EVENT) return skip(r); /* the walk along the schema says so */
  while (next(r)) {
    if (r->ev.type == YAML_MAPPING_END_EVENT) return true;
    if (!is_key(r) || !add_name(r, max, names, n) || !next(r) || !skip(r)) return false;
  }
  return false;
}

bool doc_keys(msub_bytes text, const char *under, size_t max, char ***names, size_t *n, doc_fault *f) {
  reader r;
  *names = NULL;
  *n = 0;
  if (!reader_open(&r, text, f)) return false;
  bool good = enter(&r);
  while (good && (good = next(&r)) && r.ev.type != YAML_MAPPING_END_EVENT) {
    if (!(good = is_key(&r))) break;
    bool found = *n == 0 && strcmp(scalar(&r), under) == 0;
    good = next(&r) && (found ? keys_of(&r, max, names, n) : skip(&r));
  }
  reader_close(&r);
  return good;
}

/* ---- the walk along the schema ---- */

static const char *field_name(const void *fields, size_t i) { return ((const cyaml_schema_field_t *)fields)[i].key; }

static bool is_number(const char *s) {
  char *end;
  if (!*s || s[strspn(s, "+-.0123456789eE")]) return false; /* no hex, no names of numbers that are none */
  (void)strtod(s, &end);
  return *end == 0;
}

static bool walk(reader *r, const cyaml_schema_value_t *v, const char *key, unsigned depth);

static bool walk_mapping(reader *r, const cyaml_schema_value_t *v, unsigned depth) {
  const cyaml_schema_field_t *fields = v->mapping.fields;
  size_t n = 0;
  while (fields[n].key) n++;
  unsigned *seen = take((n + 1) * sizeof *seen);
  bool good = true;
  while (good && (good = next(r)) && r->ev.type != YAML_MAPPING_END_EVENT) {
    if (!(good = is_key(r))) break;
    size_t i = 0;
    while (i < n && strcmp(fields[i].key, scalar(r)) != 0) i++;
    if (i == n) {
      const char *meant = nearest(scalar(r), field_name, fields);
      good = doc_wrong(r->f, line_of(r), "unknown key %s; %s%s%s", quoted(scalar(r)), meant ? "did you mean \"" : "leave it out, or see docs/cli.md for the names",
                        meant ? meant : "", meant ? "\"?" : "");
    } else if (seen[i]) {
      good = doc_wrong(r->f, line_of(r), "%s stands in line %u already; leave one of them", quoted(scalar(r)), seen[i]);
    } else {
      seen[i] = line_of(r);
      good = next(r) && walk(r, &fields[i].value, fields[i].key, depth + 1);
    }
  }
  free(seen);
  return good;
}

static bool walk(reader *r, const cyaml_schema_value_t *v, const char *key, unsigned depth) {
  if (depth > DEPTH_MAX) return doc_wrong(r->f, line_of(r), "nested too deeply");
  if (r->ev.type == YAML_ALIAS_EVENT) return true; /* libcyaml puts in what it stands for, and judges that */
  if (v->type == CYAML_MAPPING) {
    if (r->ev.type == YAML_MAPPING_START_EVENT) return walk_mapping(r, v, depth);
    return doc_wrong(r->f, line_of(r), "%s: a map of keys and values is wanted here", quoted(key));
  }
  if (v->type == CYAML_SEQUENCE) {
    if (r->ev.type != YAML_SEQUENCE_START_EVENT) return doc_wrong(r->f, line_of(r), "%s: a list is wanted here, [ … ]", quoted(key));
    size_t n = 0;
    while (next(r)) {
      if (r->ev.type == YAML_SEQUENCE_END_EVENT) return true;
      if (++n > v->sequence.max) return doc_wrong(r->f, line_of(r), "%s: more than %u entries; leave some out", quoted(key), v->sequence.max);
      if (!walk(r, v->sequence.entry, key, depth + 1)) return false;
    }
    return false;
  }
  if (r->ev.type != YAML_SCALAR_EVENT) return doc_wrong(r->f, line_of(r), "%s: one value is wanted here", quoted(key));
  if (strlen(scalar(r)) != r->ev.data.scalar.length) return doc_wrong(r->f, line_of(r), "%s: a value has no byte 0", quoted(key));
  if (v->type == CYAML_FLOAT && !is_number(scalar(r))) return doc_wrong(r->f, line_of(r), "%s %s: not a number", quoted(key), quoted(scalar(r)));
  if (v->type == CYAML_BOOL && strcmp(scalar(r), "true") != 0 && strcmp(scalar(r), "false") != 0)
    return doc_wrong(r->f, line_of(r), "%s %s: write true or false", quoted(key), quoted(scalar(r)));
  return true;
}

/* ---- libcyaml ---- */

/* Its first message, and the first place that it names. */
__attribute__((format(printf, 3, 0))) static void heard(cyaml_log_t level, void *ud, const char *fmt, va_list args) {
  doc_fault *f = ud;
  char text[200];
  const char *at;
  (void)level;
  vsnprintf(text, sizeof text, fmt, args);
  text[strcspn(text, "\n")] = 0;
  if (!f->text[0]) snprintf(f->text, sizeof f->text, "%s", strncmp(text, "Load: ", 6) == 0 ? text + 6 : text);
  if (f->line == 0 && (at = strstr(text, "(line: ")) != NULL) f->line = (unsigned)strtoul(at + 7, NULL, 10);
}

bool doc_read(msub_bytes text, const cyaml_schema_value_t *schema, void **data, doc_fault *f) {
  reader r;
  if (!reader_open(&r, text, f)) return false;
  bool good = enter(&r) && walk_mapping(&r, schema, 1) && next(&r) && next(&r); /* the document's end, then the stream's */
  if (good && r.ev.type != YAML_STREAM_END_EVENT) good = doc_wrong(f, line_of(&r), "a second document; one is wanted in a file");
  reader_close(&r);
  if (!good) return false;
  *f = (doc_fault){ 0 };
  cyaml_config_t config = { .log_fn = heard, .log_ctx = f, .log_level = CYAML_LOG_ERROR, .mem_fn = cyaml_mem };
  cyaml_err_t err = cyaml_load_data(text.p, text.n, &config, schema, data, NULL);
  if (err == CYAML_OK) return true;
  if (!f->text[0]) doc_wrong(f, f->line, "%s", cyaml_strerror(err));
  return false;
}

/* In a mapping that was entered. */
static unsigned find_line(reader *r, const char *path, size_t item) {
  size_t len = strcspn(path, ".");
  while (next(r) && r->ev.type == YAML_SCALAR_EVENT) {
    bool here = r->ev.data.scalar.length == len && memcmp(scalar(r), path, len) == 0;
    if (!next(r)) return 0;
    if (!here) {
      if (!skip(r)) return 0;
      continue;
    }
    if (path[len]) return r->ev.type == YAML_MAPPING_START_EVENT ? find_line(r, path + len + 1, item) : 0;
    if (r->ev.type != YAML_SEQUENCE_START_EVENT) return line_of(r);
    while (next(r) && r->ev.type != YAML_SEQUENCE_END_EVENT) {
      if (item-- == 0) return line_of(r);
      if (!skip(r)) return 0;
    }
    return 0;
  }
  return 0;
}

unsigned doc_line(msub_bytes text, const char *path, size_t item) {
  doc_fault f = { 0 };
  reader r;
  if (!reader_open(&r, text, &f)) return 0;
  unsigned line = enter(&r) ? find_line(&r, path, item) : 0;
  reader_close(&r);
  return line;
}

void doc_free(const cyaml_schema_value_t *schema, void *data) {
  cyaml_config_t config = { .mem_fn = cyaml_mem };
  (void)cyaml_free(&config, schema, data, 0);
}
