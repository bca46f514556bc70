#include "cli/events.h"
#include <stdlib.h>
#include <string.h>

json_t *message_json(msub_bytes topic, const msub_msg *m, msub_bytes from, const char *ev) {
  json_t *j = json_object();
  if (ev) json_object_set_new(j, "ev", json_string(ev));
  set_name(j, "topic", topic);
  json_object_set_new(j, "from", json_peer(msub_from(m)));
  json_object_set_new(j, "seqno", json_hex(msub_seqno(m)));
  json_object_set_new(j, "id", json_hex(msub_id(m)));
  json_object_set_new(j, "received_from", json_peer(from));
  set_data(j, msub_data(m));
  json_object_set_new(j, "ns", json_integer((json_int_t)wall_ns()));
  return j;
}

json_t *event_json(const msub_host_event *ev, msub_bytes topic) {
  static const char *const names[] = { "listening",  "connected", "disconnected", "dial_failed",
                                       "identified", "pubsub",    "topic_join",   "topic_leave" };
  const char *text = ev->text ? ev->text : "";
  json_t *j = json_object();
  json_object_set_new(j, "ev", json_string(names[ev->kind]));
  if (ev->peer_id.n) json_object_set_new(j, "peer", json_peer(ev->peer_id));
  if (ev->addr.n) json_object_set_new(j, "addr", json_string(addr_text(ev->addr)));
  switch (ev->kind) {
  case MSUB_EV_CONNECTED: json_object_set_new(j, "outbound", json_boolean(ev->outbound)); break;
  case MSUB_EV_DISCONNECTED:
    json_object_set_new(j, "why", json_string(text));
    json_object_set_new(j, "last", json_boolean(ev->last));
    break;
  case MSUB_EV_DIAL_FAILED: json_object_set_new(j, "error", json_string(*text ? text : msub_err_text(ev->err))); break;
  case MSUB_EV_IDENTIFIED: json_object_set_new(j, "agent", json_string(text)); break;
  case MSUB_EV_PUBSUB: json_object_set_new(j, "protocol", json_string(text)); break;
  case MSUB_EV_TOPIC_JOIN:
  case MSUB_EV_TOPIC_LEAVE: set_name(j, "topic", topic); break;
  case MSUB_EV_LISTENING: break;
  }
  return j;
}
