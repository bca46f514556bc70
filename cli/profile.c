#include "cli/profile.h"
#include "cli/options.h"
#include <arpa/inet.h>
#include <inttypes.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Keys that are numbers in the file and in score.h, by the same name; durations, which may be "1m30s" behind KEY or a number behind KEY_ms. */
#define TOPIC_NUMBERS(X)                                                                                                                \
  X(time_in_mesh_weight) X(time_in_mesh_cap)                                                                                            \
  X(first_message_deliveries_weight) X(first_message_deliveries_decay) X(first_message_deliveries_cap)                                  \
  X(mesh_message_deliveries_weight) X(mesh_message_deliveries_decay) X(mesh_message_deliveries_cap) X(mesh_message_deliveries_threshold) \
  X(mesh_message_deliveries_share) X(mesh_failure_penalty_weight) X(mesh_failure_penalty_decay) X(mesh_probe_penalty)       \
  X(invalid_message_deliveries_weight) X(invalid_message_deliveries_decay)
#define TOPIC_TIMES(X) X(time_in_mesh_quantum) X(mesh_message_deliveries_window) X(mesh_message_deliveries_activation)
#define NUMBERS(X)                                                                                        \
  X(topic_score_cap) X(app_specific_weight) X(ip_colocation_factor_weight) X(behaviour_penalty_weight)    \
  X(behaviour_penalty_threshold) X(behaviour_penalty_decay) X(decay_to_zero) X(address_share) X(address_most) X(address_decay)
#define THRESHOLDS(X) X(gossip) X(publish) X(graylist) X(accept_px) X(opportunistic_graft)

/* What libcyaml fills in. A NULL: the key is absent. */
#define NUMBER(name) double *name;
#define TIME(name) char *name; double *name##_ms;
typedef struct file_topic { double *topic_weight; bool *skip_atomic_validation; TOPIC_NUMBERS(NUMBER) TOPIC_TIMES(TIME) } file_topic;
typedef struct file_thresholds { bool *skip_atomic_validation; THRESHOLDS(NUMBER) } file_thresholds;
typedef struct file_profile {
  NUMBERS(NUMBER)
  TIME(decay_interval) TIME(retain_score) TIME(seen_msg_ttl)
  double *ip_colocation_factor_threshold;
  char **ip_colocation_factor_whitelist;
  uint32_t ip_colocation_factor_whitelist_count;
  bool *skip_atomic_validation, *cap_what_is_positive;
  file_topic *topics, *other_topics;
  file_thresholds *thresholds;
} file_profile;

#define MAYBE (CYAML_FLAG_POINTER | CYAML_FLAG_OPTIONAL)
#define F_NUMBER(type, name) CYAML_FIELD_FLOAT_PTR(#name, MAYBE, type, name),
#define F_BOOL(type, name) CYAML_FIELD_BOOL_PTR(#name, MAYBE, type, name),
#define F_TIME(type, name)                                                    \
  CYAML_FIELD_STRING_PTR(#name, MAYBE, type, name, 0, 64),                    \
  CYAML_FIELD_FLOAT_PTR(#name "_ms", MAYBE, type, name##_ms),

#define T_NUMBER(name) F_NUMBER(file_topic, name)
#define T_TIME(name) F_TIME(file_topic, name)
static const cyaml_schema_field_t topic_fields[] = {
  T_NUMBER(topic_weight) F_BOOL(file_topic, skip_atomic_validation) TOPIC_NUMBERS(T_NUMBER) TOPIC_TIMES(T_TIME) CYAML_FIELD_END
};
#define H_NUMBER(name) F_NUMBER(file_thresholds, name)
static const cyaml_schema_field_t threshold_fields[] = { F_BOOL(file_thresholds, skip_atomic_validation) THRESHOLDS(H_NUMBER) CYAML_FIELD_END };
static const cyaml_schema_value_t prefix = { CYAML_VALUE_STRING(CYAML_FLAG_POINTER, char, 0, 64) };
#define P_NUMBER(name) F_NUMBER(file_profile, name)
static const cyaml_schema_field_t profile_fields[] = {
  NUMBERS(P_NUMBER)
  F_TIME(file_profile, decay_interval) F_TIME(file_profile, retain_score) F_TIME(file_profile, seen_msg_ttl)
  P_NUMBER(ip_colocation_factor_threshold)
  CYAML_FIELD_SEQUENCE("ip_colocation_factor_whitelist", MAYBE, file_profile, ip_colocation_factor_whitelist, &prefix, 0, 64),
  F_BOOL(file_profile, skip_atomic_validation) F_BOOL(file_profile, cap_what_is_positive)
  CYAML_FIELD_MAPPING_PTR("other_topics", MAYBE, file_profile, other_topics, topic_fields),
  CYAML_FIELD_MAPPING_PTR("thresholds", MAYBE, file_profile, thresholds, threshold_fields),
};
#define N_PROFILE_FIELDS (sizeof profile_fields / sizeof *profile_fields)

/* libcyaml knows no map whose keys are free, so the schema names the topics of this one file. */
typedef struct schema {
  cyaml_schema_field_t fields[N_PROFILE_FIELDS + 2], *topics;
  cyaml_schema_value_t top;
} schema;

static void schema_for(schema *s, char *const *names, size_t n) {
  s->topics = take((n + 1) * sizeof *s->topics);
  for (size_t i = 0; i < n; i++)
    s->topics[i] = (cyaml_schema_field_t){ .key = names[i], .data_offset = (uint32_t)(i * sizeof(file_topic)),
                                           .value = { CYAML_VALUE_MAPPING(CYAML_FLAG_DEFAULT, file_topic, topic_fields) } };
  memcpy(s->fields, profile_fields, sizeof profile_fields);
  s->fields[N_PROFILE_FIELDS] = (cyaml_schema_field_t){ .key = "topics", .data_offset = offsetof(file_profile, topics),
    .value = { .type = CYAML_MAPPING, .flags = MAYBE, .data_size = (uint32_t)((n ? n : 1) * sizeof(file_topic)), .mapping.fields = s->topics } };
  s->fields[N_PROFILE_FIELDS + 1] = (cyaml_schema_field_t){ .key = NULL };
  s->top = (cyaml_schema_value_t){ CYAML_VALUE_MAPPING(CYAML_FLAG_POINTER, file_profile, s->fields) };
}

/* ---- from the file's to ours ---- */

static double number(const double *v) { return v ? *v : 0; }
static bool truth(const bool *v) { return v && *v; }

static bool duration(const char *name, const char *text, const double *ms, uint64_t *ns, doc_fault *f) {
  *ns = 0;
  if (text && ms) return doc_wrong(f, 0, "%s and %s_ms: leave one of them", name, name);
  if (text && !read_duration(text, ns))
    return doc_wrong(f, 0, "%s %s: not a duration; write numbers with units, as \"700ms\" or \"1m30s\", or %s_ms: NUMBER", name, quoted(text), name);
  if (ms && !(*ms >= 0 && *ms <= 1e12)) return doc_wrong(f, 0, "%s_ms %.17g: not a duration; write 0 or more milliseconds", name, *ms);
  if (ms) *ns = (uint64_t)(*ms * 1e6 + 0.5);
  return true;
}

static bool topic_from(const file_topic *t, msub_topic_score *to, doc_fault *f) {
  *to = (msub_topic_score){ .skip_atomic = truth(t->skip_atomic_validation), .weight = number(t->topic_weight) };
#define COPY(name) to->name = number(t->name);
  TOPIC_NUMBERS(COPY)
#undef COPY
#define COPY(name) if (!duration(#name, t->name, t->name##_ms, &to->name##_ns, f)) return false;
  TOPIC_TIMES(COPY)
#undef COPY
  return true;
}

static bool prefix_from(const char *text, msub_cidr *to) {
  char address[64];
  const char *slash = strchr(text, '/');
  size_t len = slash ? (size_t)(slash - text) : strlen(text);
  uint64_t bits;
  if (len >= sizeof address) return false;
  memcpy(address, text, len);
  address[len] = 0;
  *to = (msub_cidr){ .n = strchr(address, ':') ? 16 : 4 };
  if (inet_pton(to->n == 16 ? AF_INET6 : AF_INET, address, to->address) != 1) return false;
  if (!slash) bits = to->n * 8u;
  else if (!read_number(slash + 1, &bits) || bits > to->n * 8u) return false;
  to->bits = (uint8_t)bits;
  return true;
}

static bool topics_from(const file_profile *s, profile *p, doc_fault *f) {
  for (size_t i = 0; i < p->n; i++) {
    p->topics[i].topic = p->names[i];
    if (topic_from(&s->topics[i], &p->topics[i].score, f)) continue;
    doc_fault inner = *f;
    return doc_wrong(f, inner.line, "topic %s: %s", quoted(p->names[i]), inner.text);
  }
  if (!s->other_topics) return true;
  p->opts.params.topic = &p->other;
  if (topic_from(s->other_topics, &p->other, f)) return true;
  doc_fault inner = *f;
  return doc_wrong(f, inner.line, "other_topics: %s", inner.text);
}

static bool params_from(const file_profile *s, profile *p, doc_fault *f) {
  msub_score_params *to = &p->opts.params;
  double threshold = number(s->ip_colocation_factor_threshold);
  to->skip_atomic = truth(s->skip_atomic_validation);
  to->cap_what_is_positive = truth(s->cap_what_is_positive);
#define COPY(name) to->name = number(s->name);
  NUMBERS(COPY)
#undef COPY
  if (!duration("decay_interval", s->decay_interval, s->decay_interval_ms, &to->decay_interval_ns, f) ||
      !duration("retain_score", s->retain_score, s->retain_score_ms, &to->retain_ns, f) ||
      !duration("seen_msg_ttl", s->seen_msg_ttl, s->seen_msg_ttl_ms, &to->record_ttl_ns, f))
    return false;
  if (!(threshold >= 0 && threshold <= UINT32_MAX) || floor(threshold) < threshold)
    return doc_wrong(f, 0, "ip_colocation_factor_threshold %.17g: a number of peers, without a fraction", threshold);
  to->ip_colocation_factor_threshold = (uint32_t)threshold;
  for (uint32_t i = 0; i < s->ip_colocation_factor_whitelist_count; i++)
    if (!prefix_from(s->ip_colocation_factor_whitelist[i], &p->allow[i]))
      return doc_wrong(f, 0, "ip_colocation_factor_whitelist %s: not a prefix; write 192.0.2.0/24 or 2001:db8::/32", quoted(s->ip_colocation_factor_whitelist[i]));
  to->ip_allow = p->allow;
  to->n_ip_allow = s->ip_colocation_factor_whitelist_count;
  if (!s->thresholds) return true;
  p->opts.thresholds.skip_atomic = truth(s->thresholds->skip_atomic_validation);
#define COPY(name) p->opts.thresholds.name = number(s->thresholds->name);
  THRESHOLDS(COPY)
#undef COPY
  return true;
}

bool profile_read(msub_bytes text, profile *p, doc_fault *f) {
  schema s = { 0 };
  void *data = NULL;
  *p = (profile){ 0 };
  *f = (doc_fault){ 0 };
  /* A name that stands twice is said by the walk. */
  bool good = doc_keys(text, "topics", PROFILE_TOPICS, &p->names, &p->n_names, f);
  p->n = p->n_names;
  if (good) {
    schema_for(&s, p->names, p->n);
    good = doc_read(text, &s.top, &data, f);
  }
  if (good) {
    const file_profile *from = data;
    if (!from->topics) p->n = 0; /* an alias that stands for no map is none */
    p->topics = take((p->n + 1) * sizeof *p->topics);
    good = params_from(from, p, f) && topics_from(from, p, f);
    doc_free(&s.top, data);
  }
  free(s.topics);
  if (!good) profile_free(p);
  return good;
}

void profile_free(profile *p) {
  for (size_t i = 0; i < p->n_names; i++) free(p->names[i]);
  free(p->names);
  free(p->topics);
  p->names = NULL;
  p->topics = NULL;
  p->n = p->n_names = 0;
}

/* ---- validity ---- */

/* "time_in_mesh_quantum_ns 0" is "time_in_mesh_quantum 0s" in a file. */
static void as_in_file(char to[512], const char *topic, const char *where) {
  static const char *const names[][2] = { { "weight", "topic_weight" }, { "retain_ns", "retain_score_ns" }, { "record_ttl_ns", "seen_msg_ttl_ns" } };
  char name[96], value[96];
  size_t len = strcspn(where, " ");
  snprintf(name, sizeof name, "%.*s", (int)len, where);
  snprintf(value, sizeof value, "%s", where[len] ? where + len + 1 : "");
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if (strcmp(name, names[i][0]) == 0) snprintf(name, sizeof name, "%s", names[i][1]);
  len = strlen(name);
  if (len > 3 && strcmp(name + len - 3, "_ns") == 0) {
    name[len - 3] = 0;
    double ns = strtod(value, NULL);
    snprintf(value, sizeof value, "%s", ns > 0 ? duration_text(ns < 1.8e19 ? (uint64_t)ns : UINT64_MAX) : "0s");
  }
  snprintf(to, 512, "%s%s%s %s", topic, *topic ? ": " : "", name, value);
}

const char *profile_fault(const profile *p, char where[512]) {
  char at[96] = "", topic[300];
  msub_score_params params = p->opts.params;
  params.topic = NULL;
  const char *why = msub_score_params_fault(&params, at);
  if (why) return as_in_file(where, "", at), why;
  if (p->opts.params.topic && (why = msub_topic_score_fault(p->opts.params.topic, at))) return as_in_file(where, "other_topics", at), why;
  for (size_t i = 0; i < p->n; i++)
    if ((why = msub_topic_score_fault(&p->topics[i].score, at))) {
      snprintf(topic, sizeof topic, "topic %s", quoted(p->names[i]));
      return as_in_file(where, topic, at), why;
    }
  why = msub_score_thresholds_fault(&p->opts.thresholds, at);
  if (why) as_in_file(where, "thresholds", at);
  return why;
}
