/* tests/vectors/go_mcache.c: the message cache's windows, counters and ids to announce, against go-libp2p-pubsub.
 *
 * Rule: an id stands in the cache once per topic, and each of them lives its own windows. The reference lists an id
 * that is put again while it is there a second time, and forgets all of it with the oldest. So, of an id that is put
 * again before its last put is `history` shifts old, the answers are those of the model below; of every other id, in
 * the same case too, they are the recorded ones. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "pubsub/engine.h"
#include "tests/vectors/vectors.h"

#define MAX 256
#define MUST(c) ((c) ? (void)0 : (fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #c), abort()))

typedef struct mention { const char *id; int64_t last_put; bool again; } mention;
/* Of the model. times: of peers A and B. */
typedef struct entry { const char *id, *topic; int64_t put_at; uint32_t times[2]; } entry;
typedef struct topic { const char *name; uint32_t index, first, last, n; } topic;
typedef struct run {
  msub_shared *sh;
  msub__mcache *c;
  topic topics[8];
  size_t n_topics;
  entry e[MAX];
  size_t n;
  mention ids[MAX];
  size_t n_ids;
  int64_t shifts, history;
} run;

static const char *str(const json_t *j) { return json_string_value(j); }

/* ---- the cache, with the lists that the engine keeps of its topics ---- */

static topic *topic_of(run *r, const char *name) {
  for (size_t i = 0; i < r->n_topics; i++)
    if (strcmp(r->topics[i].name, name) == 0) return &r->topics[i];
  MUST(r->n_topics < 8);
  topic *t = &r->topics[r->n_topics++];
  *t = (topic){ .name = name, .index = msub__intern_hold(&r->sh->names, &r->sh->mem, &r->sh->key, msub_str(name)) };
  MUST(t->index);
  return t;
}

static const char *topic_name(const run *r, uint32_t index) {
  for (size_t i = 0; i < r->n_topics; i++)
    if (r->topics[i].index == index) return r->topics[i].name;
  return NULL;
}

static void gone(void *ud, uint32_t index, uint32_t next) {
  run *r = ud;
  topic *t = topic_of(r, topic_name(r, index));
  MUST(t->n > 0);
  t->first = next;
  t->n--;
}

static void put(run *r, const char *id, const char *name) {
  uint8_t buf[512];
  msub_msg_view v = { .data = msub_str(id), .topic = msub_str(name), .present = MSUB_HAS_DATA | MSUB_HAS_TOPIC };
  size_t n = msub_msg_encode(&v, buf, sizeof buf);
  msub_msg_borrowed like;
  topic *t = topic_of(r, name);
  MUST(n <= sizeof buf && msub_msg_parse((msub_bytes){ buf, n }, &v) == MSUB_OK);
  MUST(msub__msg_borrow(&like, &v, t->index));
  const msub_msg *m = msub__msg_new(r->sh, &like.m, 0, msub_str(id));
  MUST(m);
  uint64_t evicted = 0;
  uint32_t number = msub__mcache_put(r->c, m, t->n > 0, t->last, &evicted);
  msub_msg_drop(r->sh, m);
  if (number == MSUB__NONE) return;
  if (t->n++ == 0) t->first = number;
  t->last = number;
}

/* ---- the model ---- */

static mention *mention_of(run *r, const char *id) {
  for (size_t i = 0; i < r->n_ids; i++)
    if (strcmp(r->ids[i].id, id) == 0) return &r->ids[i];
  MUST(r->n_ids < MAX);
  r->ids[r->n_ids] = (mention){ id, INT64_MIN / 2, false };
  return &r->ids[r->n_ids++];
}

/* Notes the ids that the rule is about. */
static void mark(run *r, const json_t *ops) {
  json_t *op;
  size_t i;
  int64_t shifts = 0;
  json_array_foreach(ops, i, op) {
    const char *what = str(json_array_get(op, 0));
    if (strcmp(what, "shift") == 0) shifts++;
    if (strcmp(what, "put") != 0) continue;
    mention *m = mention_of(r, str(json_array_get(op, 1)));
    if (shifts - m->last_put < r->history) m->again = true;
    m->last_put = shifts;
  }
}

static entry *find(run *r, const char *id, const char *name) {
  for (size_t i = 0; i < r->n; i++)
    if (strcmp(r->e[i].id, id) == 0 && (!name || strcmp(r->e[i].topic, name) == 0)) return &r->e[i];
  return NULL;
}

static void model_put(run *r, const char *id, const char *name) {
  if (find(r, id, name)) return;
  MUST(r->n < MAX);
  r->e[r->n++] = (entry){ .id = id, .topic = name, .put_at = r->shifts };
}

static void model_shift(run *r) {
  size_t left = 0;
  r->shifts++;
  for (size_t i = 0; i < r->n; i++)
    if (r->shifts - r->e[i].put_at < r->history) r->e[left++] = r->e[i];
  r->n = left;
}

static json_t *model_gossip(const run *r, const char *name, int64_t gossip) {
  json_t *out = json_array();
  for (int64_t age = 0; age < gossip; age++)
    for (size_t i = 0; i < r->n; i++)
      if (r->shifts - r->e[i].put_at == age && strcmp(r->e[i].topic, name) == 0)
        (void)json_array_append_new(out, json_string(r->e[i].id));
  return out;
}

/* ---- a case ---- */

static json_t *once(run *r, const json_t *ids) {
  json_t *out = json_array(), *id;
  size_t i;
  json_array_foreach(ids, i, id)
    if (!mention_of(r, str(id))->again) (void)json_array_append(out, id);
  return out;
}

/* Equal to the model; and, but for the ids of the rule, to what was recorded. */
static bool same_list(run *r, json_t *ours, json_t *model, const json_t *recorded) {
  json_t *a = once(r, ours), *b = once(r, recorded);
  bool ok = json_equal(ours, model) && json_equal(a, b);
  json_decref(a);
  json_decref(b);
  json_decref(ours);
  json_decref(model);
  return ok;
}

static bool gossip_ids(run *r, const char *name, int64_t gossip, const json_t *recorded) {
  msub_bytes ids[MAX];
  const topic *t = topic_of(r, name);
  size_t n = msub__mcache_gossip(r->c, t->first, t->n, ids, MAX);
  json_t *ours = json_array();
  for (size_t i = 0; i < n; i++) (void)json_array_append_new(ours, json_stringn((const char *)ids[i].p, ids[i].n));
  return same_list(r, ours, model_gossip(r, name, gossip), recorded);
}

static bool get(run *r, const char *id, const char *recorded) {
  const msub_msg *m = msub__mcache_get(r->c, msub_str(id));
  const char *name = m ? topic_name(r, m->topic_name) : NULL;
  if (mention_of(r, id)->again) return name ? find(r, id, name) != NULL : !find(r, id, NULL);
  return name && recorded ? strcmp(name, recorded) == 0 : !name && !recorded;
}

static bool ask(run *r, const char *id, const char *peer, json_int_t recorded) {
  uint32_t who = (uint32_t)(peer[0] - 'A'), times;
  MUST(who < 2);
  const msub_msg *m = msub__mcache_ask(r->c, msub_str(id), who + 1, &times);
  entry *e = find(r, id, m ? topic_name(r, m->topic_name) : NULL);
  uint32_t want = e ? ++e->times[who] : 0;
  return times == want && (mention_of(r, id)->again || times == (uint32_t)recorded);
}

static bool step(run *r, const json_t *op, int64_t gossip) {
  const char *what = str(json_array_get(op, 0)), *id = str(json_array_get(op, 1)), *third = str(json_array_get(op, 2));
  if (strcmp(what, "shift") == 0) {
    msub__mcache_shift(r->c);
    model_shift(r);
    return true;
  }
  if (strcmp(what, "put") == 0) {
    put(r, id, third);
    model_put(r, id, third);
    return true;
  }
  if (strcmp(what, "get") == 0) return get(r, id, third);
  if (strcmp(what, "get_for_peer") == 0) return ask(r, id, third, json_integer_value(json_array_get(op, 3)));
  if (strcmp(what, "gossip_ids") == 0) return gossip_ids(r, id, gossip, json_array_get(op, 2));
  return false;
}

static bool listed(const json_t *ids, const char *id) {
  json_t *at;
  size_t i;
  json_array_foreach(ids, i, at)
    if (strcmp(str(at), id) == 0) return true;
  return false;
}

/* The ids that are left, and how many of them have counters. */
static bool at_end(run *r, const json_t *c) {
  json_t *left = json_object_get(c, "ids_left"), *id;
  size_t i, counters = 0, recorded = (size_t)json_integer_value(json_object_get(c, "ids_with_counters"));
  bool ok = true, again = false;
  json_array_foreach(left, i, id) (void)mention_of(r, str(id));
  for (i = 0; i < r->n; i++) counters += r->e[i].times[0] || r->e[i].times[1];
  for (i = 0; i < r->n_ids; i++) {
    const mention *m = &r->ids[i];
    bool there = msub__mcache_get(r->c, msub_str(m->id)) != NULL;
    again |= m->again;
    ok &= there == (find(r, m->id, NULL) != NULL) && (m->again || there == listed(left, m->id));
  }
  ok &= msub__mcache_count(r->c) == r->n && msub__mcache_counters(r->c) == counters;
  return ok && (again || counters == recorded);
}

static void one(vec_tally *t, const json_t *c) {
  static const uint8_t entropy[32] = { 5 };
  static run r;
  int64_t gossip = json_integer_value(json_object_get(c, "gossip"));
  r = (run){ .history = json_integer_value(json_object_get(c, "history")) };
  MUST(msub_shared_new(NULL, entropy, &r.sh) == MSUB_OK);
  r.c = msub__mcache_new(r.sh, (unsigned)r.history, (unsigned)gossip, SIZE_MAX / 4, gone, &r);
  MUST(r.c);
  mark(&r, json_object_get(c, "ops"));

  json_t *op;
  size_t i, bad = SIZE_MAX;
  json_array_foreach(json_object_get(c, "ops"), i, op)
    if (!step(&r, op, gossip) && bad == SIZE_MAX) bad = i;
  bool ok = bad == SIZE_MAX && at_end(&r, c), ruled = false;
  for (i = 0; i < r.n_ids; i++) ruled |= r.ids[i].again;
  if (ok && ruled) {
    t->cases++;
    t->by_rule++;
  } else if (bad != SIZE_MAX) vec_case(t, c, false, "operation %zu answers something else", bad);
  else vec_case(t, c, ok, "what is left at the end differs");

  msub__mcache_free(r.c, r.sh);
  for (i = 0; i < r.n_topics; i++) msub__intern_drop(&r.sh->names, &r.sh->mem, &r.sh->key, r.topics[i].index);
  MUST(msub_shared_free(r.sh) == MSUB_OK);
}

int main(void) {
  vec_tally t = { .file = "go/mcache.json" };
  json_t *root = vec_load(t.file), *c;
  size_t i;
  json_array_foreach(json_object_get(root, "cases"), i, c) one(&t, c);
  json_decref(root);
  return vec_end(&t);
}
