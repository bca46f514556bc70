/* tests/vectors/go_rpc_decode.c: RPCs and streams as the go implementation reads them, profile go-parity.
 * Rules: none. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "meshsub/rpc.h"
#include "tests/vectors/vectors.h"

static void set_bytes(json_t *o, const char *key, bool present, msub_bytes b) {
  if (present) (void)json_object_set_new(o, key, vec_hex(b));
}
static void set_bool(json_t *o, const char *key, bool present, bool v) {
  if (present) (void)json_object_set_new(o, key, json_boolean(v));
}
/* Lists are left out when empty. */
static void append(json_t *o, const char *key, json_t *item) {
  json_t *list = json_object_get(o, key);
  if (!list) {
    list = json_array();
    (void)json_object_set_new(o, key, list);
  }
  (void)json_array_append_new(list, item);
}

static void set_unknown(json_t *o, msub_unknown it) {
  uint8_t *all = NULL;
  size_t n = 0;
  msub_field f;
  while (msub_unknown_next(&it, &f)) {
    uint64_t tag = (uint64_t)f.number << 3 | f.type;
    uint8_t *more = realloc(all, n + msub_varint_size(tag) + f.value.n);
    if (!more) abort();
    all = more;
    n += msub_varint_put(all + n, tag);
    if (f.value.n) memcpy(all + n, f.value.p, f.value.n);
    n += f.value.n;
  }
  set_bytes(o, "unknown", n > 0, (msub_bytes){ all, n });
  free(all);
}

static json_t *message(const msub_msg_view *v) {
  json_t *o = json_object();
  set_bytes(o, "from", v->present & MSUB_HAS_FROM, v->from);
  set_bytes(o, "data", v->present & MSUB_HAS_DATA, v->data);
  set_bytes(o, "seqno", v->present & MSUB_HAS_SEQNO, v->seqno);
  set_bytes(o, "topic", v->present & MSUB_HAS_TOPIC, v->topic);
  set_bytes(o, "signature", v->present & MSUB_HAS_SIGNATURE, v->signature);
  set_bytes(o, "key", v->present & MSUB_HAS_KEY, v->key);
  msub_unknown u;
  msub_unknown_of_msg(&u, v);
  set_unknown(o, u);
  return o;
}

static void add_px(json_t *o, msub_px_iter it) {
  msub_px px;
  while (msub_px_next(&it, &px)) {
    json_t *p = json_object();
    set_bytes(p, "peer_id", px.peer_id.p != NULL, px.peer_id);
    set_bytes(p, "signed_peer_record", px.record.p != NULL, px.record);
    msub_unknown u;
    msub_unknown_of_px(&u, &it);
    set_unknown(p, u);
    append(o, "peers", p);
  }
}

/* The submessage of a part as JSON. */
static json_t *part_content(msub_bytes frame, const msub_rpc_part *p) {
  if (p->kind == MSUB_P_MESSAGE) return message(&p->msg);
  json_t *o = json_object();
  msub_ids ids = p->ids;
  msub_bytes id;
  switch (p->kind) {
  case MSUB_P_SUBSCRIPTION:
    set_bool(o, "subscribe", p->has_subscribe, p->subscribe);
    set_bytes(o, "topicid", p->has_topic, p->topic);
    set_bool(o, "requests_partial", p->has_requests_partial, p->requests_partial);
    set_bool(o, "supports_sending_partial", p->has_sends_partial, p->sends_partial);
    break;
  case MSUB_P_IHAVE:
  case MSUB_P_IWANT:
  case MSUB_P_IDONTWANT:
    set_bytes(o, "topic", p->kind == MSUB_P_IHAVE && p->has_topic, p->topic);
    while (msub_ids_next(&ids, &id)) append(o, "ids", vec_hex(id));
    break;
  case MSUB_P_PRUNE:
    add_px(o, p->px);
    if (p->has_backoff) {
      char text[24];
      (void)snprintf(text, sizeof text, "%" PRIu64, p->backoff_s);
      (void)json_object_set_new(o, "backoff", json_string(text));
    }
    set_bytes(o, "topic", p->has_topic, p->topic);
    break;
  case MSUB_P_GRAFT: set_bytes(o, "topic", p->has_topic, p->topic); break;
  case MSUB_P_EXTENSIONS:
    set_bool(o, "partial_messages", p->has_ext_partial, p->ext_partial);
    set_bool(o, "test_extension", p->has_ext_test, p->ext_test);
    break;
  case MSUB_P_PARTIAL:
    set_bytes(o, "topic", p->has_topic, p->topic);
    set_bytes(o, "group_id", p->has_group, p->group);
    set_bytes(o, "partial_message", p->has_part_message, p->part_message);
    set_bytes(o, "parts_metadata", p->has_parts_metadata, p->parts_metadata);
    break;
  default: break;
  }
  msub_unknown u;
  msub_unknown_begin(&u, frame, p);
  set_unknown(o, u);
  return o;
}

static json_t *content(msub_bytes frame) {
  static const struct {
    const char *list, *single;
    bool in_control;
  } keys[] = {
    [MSUB_P_SUBSCRIPTION] = { "subscriptions", NULL, false },
    [MSUB_P_MESSAGE] = { "publish", NULL, false },
    [MSUB_P_IHAVE] = { "ihave", NULL, true },
    [MSUB_P_IWANT] = { "iwant", NULL, true },
    [MSUB_P_GRAFT] = { "graft", NULL, true },
    [MSUB_P_PRUNE] = { "prune", NULL, true },
    [MSUB_P_IDONTWANT] = { "idontwant", NULL, true },
    [MSUB_P_EXTENSIONS] = { NULL, "extensions", true },
    [MSUB_P_PARTIAL] = { NULL, "partial", false },
    [MSUB_P_TEST] = { NULL, "test_extension", false },
  };
  json_t *rpc = json_object(), *control = json_object();
  bool has_control = false;
  msub_rpc_iter it;
  msub_rpc_part p;
  msub_rpc_begin(&it, frame);
  while (msub_rpc_next(&it, &p)) {
    if (p.kind == MSUB_P_UNKNOWN) continue; /* all at once below */
    if (p.kind == MSUB_P_CONTROL) {
      msub_unknown u;
      has_control = true;
      msub_unknown_begin(&u, frame, &p);
      set_unknown(control, u);
      continue;
    }
    json_t *o = keys[p.kind].in_control ? control : rpc;
    if (keys[p.kind].list)
      append(o, keys[p.kind].list, part_content(frame, &p));
    else
      (void)json_object_set_new(o, keys[p.kind].single, part_content(frame, &p));
  }
  if (has_control) (void)json_object_set(rpc, "control", control);
  json_decref(control);
  msub_unknown u;
  msub_unknown_begin(&u, frame, NULL);
  set_unknown(rpc, u);
  return rpc;
}

static msub_rpc_limits limits_of(const json_t *c) {
  return (msub_rpc_limits){ .control_bytes =
                                (size_t)json_integer_value(json_object_get(c, "control_limit")) };
}

static void run_rpc(vec_tally *t, const json_t *c) {
  msub_bytes frame = vec_bytes(json_object_get(c, "rpc"));
  msub_rpc_limits lim = limits_of(c);
  msub_rpc_counts counts;
  int err = msub_rpc_scan(frame, &lim, &counts);
  if (!json_is_true(json_object_get(c, "accept"))) {
    /* What the decoder alone accepts is over a limit, or field 2 in another wire type; all else is malformed.
     */
    bool ok = err == MSUB_ERR_MALFORMED ||
              (err == MSUB_ERR_LIMIT && json_is_true(json_object_get(c, "decoder_accepts")));
    vec_case(t, c, ok, "refused by go, scan says %s", msub_err_name(err));
  } else if (err != MSUB_OK) {
    vec_case(t, c, false, "accepted by go, scan says %s (%s)", msub_err_name(err), counts.why);
  } else {
    json_t *got = content(frame);
    msub_bytes want = vec_bytes(json_object_get(c, "reencoded"));
    size_t n = msub_rpc_canonical(frame, NULL, 0);
    uint8_t *out = malloc(n);
    if (!out) abort();
    bool same = msub_rpc_canonical(frame, out, n) == n && msub_bytes_eq((msub_bytes){ out, n }, want);
    bool equal = json_equal(got, json_object_get(c, "content"));
    char *text = json_dumps(got, JSON_COMPACT);
    vec_case(t, c, same && equal, "re-encoding %s, content %s", same ? "equal" : "differs",
             text ? text : "?");
    free(text);
    free(out);
    vec_free(want);
    json_decref(got);
  }
  vec_free(frame);
}

/* Feeds the stream in pieces of `piece` bytes; how many RPCs were received before its end or reset. */
static unsigned receive(msub_bytes stream, const json_t *c, size_t piece, bool *reset) {
  size_t max = (size_t)json_integer_value(json_object_get(c, "max_message_size"));
  msub_rpc_limits lim = limits_of(c);
  msub_frames f;
  unsigned received = 0;
  *reset = false;
  msub_frames_init(&f, NULL, max, MSUB_FRAMES_GO_PARITY);
  for (size_t at = 0; at < stream.n && !*reset; at += piece) {
    msub_bytes frame;
    msub_rpc_counts counts;
    int r;
    msub_frames_feed(&f, (msub_bytes){ stream.p + at, stream.n - at < piece ? stream.n - at : piece });
    while (!*reset && (r = msub_frames_next(&f, &frame)) != 0) {
      if (r < 0 || msub_rpc_scan(frame, &lim, &counts) != MSUB_OK)
        *reset = true;
      else
        received++;
    }
  }
  msub_frames_fini(&f);
  return received;
}

static void run_stream(vec_tally *t, const json_t *c) {
  static const size_t pieces[] = { SIZE_MAX / 2, 1, 7 };
  msub_bytes stream = vec_bytes(json_object_get(c, "stream"));
  unsigned want = (unsigned)json_integer_value(json_object_get(c, "rpcs_received")), received = 0;
  bool want_reset = json_is_true(json_object_get(c, "reset")), reset = false, ok = true;
  for (size_t i = 0; i < 3 && ok; i++) {
    received = receive(stream, c, pieces[i], &reset);
    ok = received == want && reset == want_reset;
  }
  vec_case(t, c, ok, "%u RPCs, reset %d; go %u, %d", received, reset, want, want_reset);
  vec_free(stream);
}

int main(void) {
  vec_tally t = { .file = "go/rpc-decode.json" };
  json_t *root = vec_load(t.file), *c;
  size_t i;
  json_array_foreach(json_object_get(root, "cases"), i, c) {
    const char *kind = json_string_value(json_object_get(c, "kind"));
    if (kind && strcmp(kind, "rpc") == 0)
      run_rpc(&t, c);
    else if (kind && strcmp(kind, "stream") == 0)
      run_stream(&t, c);
    else
      vec_case(&t, c, false, "a kind that this runner does not know");
  }
  json_decref(root);
  return vec_end(&t);
}
