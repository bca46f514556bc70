#include "bench/peer/peer.h"
#include <stdlib.h>
#include <string.h>

#define INBOX_BYTES (16u << 20) /* so that a benchmark that never asks holds no large messages */

void inbox_add(inbox *b, const msub_msg *m, msub_bytes from) {
  size_t size = m->wire_n;
  if (b->n >= b->limit || b->bytes + size > INBOX_BYTES) {
    b->dropped++;
    return;
  }
  if (!b->v) b->v = take(b->limit * sizeof *b->v);
  kept *k = &b->v[b->n++];
  k->m = msub_msg_hold(m);
  k->from.n = (uint8_t)(from.n <= MSUB_PEER_ID_MAX ? from.n : 0);
  if (k->from.n) memcpy(k->from.bytes, from.p, k->from.n);
  b->bytes += size;
}

static json_t *describe(msub_shared *sh, const kept *k, bool with_data) {
  msub_bytes data = msub_data(k->m), topic = msub_name_bytes(sh, k->m->topic_name);
  uint8_t digest[32];
  msub_sha256(data, digest);
  json_t *j = json_object();
  json_object_set_new(j, "from", json_peer(msub_from(k->m)));
  json_object_set_new(j, "seqno", json_hex(msub_seqno(k->m)));
  json_object_set_new(j, "id", json_hex(msub_id(k->m)));
  json_object_set_new(j, "size", json_integer((json_int_t)data.n));
  json_object_set_new(j, "sha256", json_hex((msub_bytes){ digest, sizeof digest }));
  json_object_set_new(j, "received_from", json_peer(msub_peer_id_bytes(&k->from)));
  json_object_set_new(j, "topic", json_stringn((const char *)topic.p, topic.n));
  if (with_data) json_object_set_new(j, "data", json_hex(data));
  return j;
}

void inbox_take(inbox *b, msub_shared *sh, const json_t *request, json_t *out) {
  const char *topic = text_of(request, "topic", "");
  uint64_t max = number_of(request, "max", 0);
  bool with_data = flag_of(request, "data", false);
  json_t *list = json_array();
  size_t rest = 0;
  for (size_t i = 0; i < b->n; i++) {
    kept *k = &b->v[i];
    bool wanted = !*topic || msub_bytes_eq(msub_name_bytes(sh, k->m->topic_name), msub_str(topic));
    if (wanted && (max == 0 || json_array_size(list) < max)) {
      json_array_append_new(list, describe(sh, k, with_data));
      b->bytes -= k->m->wire_n;
      msub_msg_drop(sh, k->m);
    } else {
      b->v[rest++] = *k;
    }
  }
  b->n = rest;
  json_object_set_new(out, "messages", list);
  json_object_set_new(out, "dropped", json_integer((json_int_t)b->dropped));
  b->dropped = 0;
}

void inbox_clear(inbox *b, msub_shared *sh) {
  for (size_t i = 0; i < b->n; i++) msub_msg_drop(sh, b->v[i].m);
  free(b->v);
  *b = (inbox){ 0 };
}
