#include "bench/peer/peer.h"
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* ---- cfg: members by the reference's names in snake case, durations in nanoseconds ---- */

typedef enum kind { NUMBER, DURATION, COUNT, FLAG, ADDRESSES } kind;
typedef struct field {
  const char *name;
  kind kind;
  size_t at;
} field;

#define AT(of, member) offsetof(of, member)
#define TOPIC(member, kind) { #member, kind, AT(msub_topic_score, member) }
#define TOPIC_NS(member) { #member, DURATION, AT(msub_topic_score, member##_ns) }
static const field of_topic[] = {
  { "skip_atomic_validation", FLAG, AT(msub_topic_score, skip_atomic) },
  { "topic_weight", NUMBER, AT(msub_topic_score, weight) },
  TOPIC(time_in_mesh_weight, NUMBER), TOPIC_NS(time_in_mesh_quantum), TOPIC(time_in_mesh_cap, NUMBER),
  TOPIC(first_message_deliveries_weight, NUMBER), TOPIC(first_message_deliveries_decay, NUMBER),
  TOPIC(first_message_deliveries_cap, NUMBER), TOPIC(mesh_message_deliveries_weight, NUMBER),
  TOPIC(mesh_message_deliveries_decay, NUMBER), TOPIC(mesh_message_deliveries_cap, NUMBER),
  TOPIC(mesh_message_deliveries_threshold, NUMBER), TOPIC_NS(mesh_message_deliveries_window),
  TOPIC_NS(mesh_message_deliveries_activation), TOPIC(mesh_failure_penalty_weight, NUMBER),
  TOPIC(mesh_failure_penalty_decay, NUMBER), TOPIC(invalid_message_deliveries_weight, NUMBER),
  TOPIC(invalid_message_deliveries_decay, NUMBER),
};
#define PARAM(member, kind) { #member, kind, AT(msub_score_params, member) }
static const field of_params[] = {
  { "skip_atomic_validation", FLAG, AT(msub_score_params, skip_atomic) },
  PARAM(topic_score_cap, NUMBER), PARAM(app_specific_weight, NUMBER), PARAM(ip_colocation_factor_weight, NUMBER),
  PARAM(ip_colocation_factor_threshold, COUNT), { "ip_colocation_factor_whitelist", ADDRESSES, 0 },
  PARAM(behaviour_penalty_weight, NUMBER), PARAM(behaviour_penalty_threshold, NUMBER), PARAM(behaviour_penalty_decay, NUMBER),
  { "decay_interval", DURATION, AT(msub_score_params, decay_interval_ns) }, PARAM(decay_to_zero, NUMBER),
  { "retain_score", DURATION, AT(msub_score_params, retain_ns) },
  { "seen_msg_ttl", DURATION, AT(msub_score_params, record_ttl_ns) },
};
#define THRESHOLD(member) { #member, NUMBER, AT(msub_score_thresholds, member) }
static const field of_thresholds[] = {
  { "skip_atomic_validation", FLAG, AT(msub_score_thresholds, skip_atomic) },
  THRESHOLD(gossip), THRESHOLD(publish), THRESHOLD(graylist), THRESHOLD(accept_px), THRESHOLD(opportunistic_graft),
};

static char why_text[200];

static const char *because(const char *where, const char *what) {
  snprintf(why_text, sizeof why_text, "%s: %s", where, what);
  return why_text;
}

static bool read_cidr(const char *text, msub_cidr *out) {
  char address[64];
  const char *slash = text ? strchr(text, '/') : NULL;
  char *end;
  if (!slash || (size_t)(slash - text) >= sizeof address) return false;
  memcpy(address, text, (size_t)(slash - text));
  address[slash - text] = 0;
  bool v6 = strchr(address, ':');
  unsigned long bits = strtoul(slash + 1, &end, 10);
  *out = (msub_cidr){ .n = v6 ? 16 : 4, .bits = (uint8_t)bits };
  return end != slash + 1 && !*end && bits <= out->n * 8u && inet_pton(v6 ? AF_INET6 : AF_INET, address, out->address) == 1;
}

static const char *addresses(score_config *s, const json_t *list) {
  const json_t *each;
  size_t i;
  if (!json_is_array(list) || json_array_size(list) > SCORE_ADDRESSES) return "ip_colocation_factor_whitelist: a list of at most 64";
  json_array_foreach(list, i, each) {
    if (!read_cidr(json_string_value(each), &s->allow[i])) return "ip_colocation_factor_whitelist: ADDRESS/BITS";
  }
  s->opts.params.ip_allow = s->allow;
  s->opts.params.n_ip_allow = json_array_size(list);
  return NULL;
}

static bool set(const field *f, const json_t *v, char *params) {
  void *to = params + f->at;
  if (f->kind == FLAG) {
    *(bool *)to = json_is_true(v);
    return json_is_boolean(v);
  }
  if (f->kind == NUMBER) {
    *(double *)to = json_number_value(v);
    return json_is_number(v);
  }
  json_int_t n = json_integer_value(v);
  if (!json_is_integer(v) || n < 0 || (f->kind == COUNT && n > UINT32_MAX)) return false;
  if (f->kind == COUNT)
    *(uint32_t *)to = (uint32_t)n;
  else
    *(uint64_t *)to = (uint64_t)n;
  return true;
}

/* A member that is not known is refused: both ends of a test are to have the same parameters. */
static const char *members(score_config *s, json_t *q, const field *f, size_t n, void *to) {
  const char *name;
  json_t *v;
  if (!json_is_object(q)) return "score_params, score_thresholds, topic_score_params: objects";
  json_object_foreach(q, name, v) {
    size_t i = 0;
    while (i < n && strcmp(f[i].name, name) != 0) i++;
    if (i == n) return because(name, "no such score parameter");
    if (f[i].kind == ADDRESSES) {
      const char *why = addresses(s, v);
      if (why) return why;
    } else if (!set(&f[i], v, to)) {
      return because(name, "not a value of its kind");
    }
  }
  return NULL;
}

static const char *topics(score_config *s, json_t *all) {
  const char *name, *why, *rule;
  char where[96];
  json_t *v;
  if (!json_is_object(all)) return "topic_score_params: parameters by topic";
  s->topics = take((json_object_size(all) + 1) * sizeof *s->topics);
  json_object_foreach(all, name, v) {
    score_topic *t = &s->topics[s->n_topics++];
    *t = (score_topic){ .name = strdup(name) };
    if ((why = members(s, v, of_topic, sizeof of_topic / sizeof *of_topic, &t->params))) return why;
    if ((rule = msub_topic_score_fault(&t->params, where))) return because(where, rule);
  }
  return NULL;
}

const char *score_read(score_config *s, const json_t *q, msub_gossipsub_opts *o) {
  json_t *params = json_object_get(q, "score_params"), *thresholds = json_object_get(q, "score_thresholds"),
         *by_topic = json_object_get(q, "topic_score_params");
  const char *why = NULL, *rule;
  char where[96];
  o->score = NULL;
  if (!flag_of(q, "score", false)) return params || thresholds || by_topic ? "parameters of scores, but not score: true" : NULL;
  s->opts = msub_gossipsub_default_score;
  if (params) {
    s->opts.params = (msub_score_params){ 0 };
    if ((why = members(s, params, of_params, sizeof of_params / sizeof *of_params, &s->opts.params))) return why;
    if ((rule = msub_score_params_fault(&s->opts.params, where))) return because(where, rule);
  }
  if (thresholds) {
    s->opts.thresholds = (msub_score_thresholds){ 0 };
    why = members(s, thresholds, of_thresholds, sizeof of_thresholds / sizeof *of_thresholds, &s->opts.thresholds);
    if (why) return why;
    if ((rule = msub_score_thresholds_fault(&s->opts.thresholds, where))) return because(where, rule);
  }
  if (by_topic && (why = topics(s, by_topic))) return why;
  o->score = &s->opts;
  return NULL;
}

const char *score_topics(const score_config *s, msub_host *h) {
  for (size_t i = 0; i < s->n_topics; i++) {
    msub_gossipsub_topic_score arg = { msub_str(s->topics[i].name), s->topics[i].params };
    int err = msub_command(msub_host_engine(h), 0, MSUB_GOSSIPSUB_TOPIC_SCORE, &arg, sizeof arg, msub_host_now(h));
    if (err != MSUB_OK) return because("topic_score_params", msub_err_text(err));
  }
  return NULL;
}

void score_clear(score_config *s) {
  for (size_t i = 0; i < s->n_topics; i++) free(s->topics[i].name);
  free(s->topics);
  *s = (score_config){ 0 };
}

/* ---- what the first node thinks of its peers ---- */

static void one(void *ud, msub_bytes id, const msub_peer_score *s) {
  char text[MSUB_PEER_ID_TEXT];
  msub_peer_id_text(id, text);
  json_object_set_new(ud, text, json_real(s->score));
}

const char *score_report(const peer *p, json_t *out) {
  msub_host *h = p->nodes[0].host;
  json_t *all = json_object();
  msub_gossipsub_inspect arg = { one, all };
  int err = p->router.inner == &msub_gossipsub
                ? msub_command(msub_host_engine(h), 0, MSUB_GOSSIPSUB_INSPECT, &arg, sizeof arg, msub_host_now(h))
                : MSUB_ERR_UNSUPPORTED;
  json_object_set_new(out, "scores", all);
  if (err == MSUB_ERR_UNSUPPORTED) return "no scores: cfg.score was not set";
  return err == MSUB_OK ? NULL : msub_err_text(err);
}
