/* cfg.router "lww": the first node shares signed registers (lww.h) by the router of register sets. A topic's name ends in "/" and its author's peer id. */
#include "bench/peer/peer.h"
#include <stdlib.h>
#include <sys/random.h>

const char *registers_start(peer *p) {
  if (p->router.inner != &msub_lww_router) return NULL;
  msub_lww_opts o;
  msub_lww_opts_init(&o);
  o.ops = &msub_lww_register_ops;
  o.engine = msub_host_engine(p->nodes[0].host);
  if (getrandom(o.entropy, sizeof o.entropy, 0) != sizeof o.entropy) return "no random numbers";
  int err = msub_lww_new(&o, &p->registers);
  return err == MSUB_OK ? NULL : msub_err_text(err);
}

void registers_stop(peer *p) {
  msub_lww_free(p->registers);
  p->registers = NULL;
}

static const char *topic_of(const peer *p, const json_t *q, msub_bytes *out) {
  const char *topic = text_of(q, "topic", NULL);
  if (!p->registers) return "no cfg.router lww";
  if (!topic) return "topic is missing";
  *out = msub_str(topic);
  return NULL;
}

const char *register_join(peer *p, const json_t *q, json_t *out) {
  msub_bytes topic;
  msub_topic t;
  const char *why = topic_of(p, q, &topic);
  (void)out;
  if (why) return why;
  int err = msub_lww_join(p->registers, topic, msub_host_now(p->nodes[0].host), &t);
  return err == MSUB_OK ? NULL : msub_err_text(err);
}

/* Signed by the node, or `record` as it is. */
const char *register_put(peer *p, const json_t *q, json_t *out) {
  static const char *const outcomes[] = { [MSUB_LWW_TAKEN] = "taken", [MSUB_LWW_SAME] = "same", [MSUB_LWW_WAITS] = "waits" };
  uint8_t made[4096], *given = NULL;
  msub_bytes topic, record = { made, 0 };
  const char *why = topic_of(p, q, &topic), *hex = text_of(q, "record", NULL);
  if (why) return why;
  int err = MSUB_OK;
  if (!hex) {
    err = msub_lww_register_make(p->nodes[0].key, topic, number_of(q, "counter", 0), msub_str(text_of(q, "value", "")), made, sizeof made, &record.n);
  } else {
    if (!read_hex(hex, &given, &record.n)) return "record: not hex";
    record.p = given;
  }
  if (err == MSUB_OK) {
    msub_lww_how how;
    msub_lww_how_init(&how);
    how.source = hex ? MSUB_LWW_GIVEN : MSUB_LWW_OWN;
    how.publish = true;
    const msub_now now = { mono_ns(), (int64_t)wall_ns() };
    err = msub_lww_put(p->registers, topic, record, &how, &now, (msub_token){ 0 });
  }
  if (err >= 0) {
    json_object_set_new(out, "outcome", json_string(outcomes[err]));
    json_object_set_new(out, "record", json_hex(record));
  }
  free(given);
  if (err == MSUB_ERR_REFUSED) return "the winner is better";
  if (err == MSUB_ERR_MALFORMED) return "no record of the topic, or not its author's";
  return err >= 0 ? NULL : msub_err_text(err);
}

const char *register_get(peer *p, const json_t *q, json_t *out) {
  msub_bytes topic;
  msub_lww_view v;
  msub_lww_register r;
  const char *why = topic_of(p, q, &topic);
  if (why) return why;
  const msub_lww_counts *c = msub_lww_count(p->registers);
  json_t *counts = json_object();
#define MSUB_X(name) json_object_set_new(counts, #name, json_integer((json_int_t)c->name));
  MSUB_LWW_COUNTS(MSUB_X)
#undef MSUB_X
  json_object_set_new(out, "counts", counts);
  if (msub_lww_get(p->registers, topic, &v) != MSUB_OK || msub_lww_register_read(v.record, &r) != MSUB_OK) return NULL;
  json_object_set_new(out, "counter", json_integer((json_int_t)r.counter));
  json_object_set_new(out, "value", json_stringn((const char *)r.value.p, r.value.n));
  json_object_set_new(out, "record", json_hex(v.record));
  return NULL;
}
