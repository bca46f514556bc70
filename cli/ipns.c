/* meshsub ipns: its subcommands, and of them inspect and verify: names and records in files. */
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/ipns_cmd.h"
#include <inttypes.h>
#include <meshsub/ipns.h>
#include <stdlib.h>
#include <string.h>

static json_t *json_value(const msub_ipns_record *r) { return is_text(r->value) ? json_stringn((const char *)r->value.p, r->value.n) : NULL; }

static void print_record(const msub_ipns_record *r, bool json) {
  char until[31];
  msub_peer_id by = { 0 };
  bool has_key = r->public_key.n && msub_public_key_peer_id(r->public_key, &by) == MSUB_OK;
  (void)msub_ipns_time_text(r->eol, until);
  if (json) {
    json_t *j = json_object(), *value = json_value(r);
    if (value) json_object_set_new(j, "value", value);
    else json_object_set_new(j, "value_hex", json_hex(r->value));
    json_object_set_new(j, "sequence", json_integer((json_int_t)r->sequence));
    json_object_set_new(j, "valid_until", json_string(until));
    json_object_set_new(j, "ttl_ns", json_integer((json_int_t)r->ttl_ns));
    if (has_key) json_object_set_new(j, "key", json_peer(msub_peer_id_bytes(&by)));
    put_json(stdout, j);
    return;
  }
  if (is_text(r->value)) {
    printf("value        %.*s\n", (int)r->value.n, (const char *)r->value.p);
  } else {
    char *hex = take(2 * r->value.n + 1);
    put_hex(hex, r->value);
    printf("value        hex %s\n", hex);
    free(hex);
  }
  printf("sequence     %" PRIu64 "\nvalid until  %s\nttl          %s\n", r->sequence, until, duration_text(r->ttl_ns));
  if (has_key) printf("key of       %s\n", peer_text(msub_peer_id_bytes(&by)));
}

static void print_name(const msub_peer_id *id, bool json) {
  char name[MSUB_IPNS_NAME_TEXT], topic[MSUB_IPNS_TOPIC_TEXT];
  uint8_t key[MSUB_IPNS_KEY_MAX];
  msub_bytes bytes = msub_peer_id_bytes(id);
  msub_bytes routing = { key, msub_ipns_key(bytes, key) };
  (void)msub_ipns_name_text(bytes, name);
  (void)msub_ipns_topic(bytes, topic);
  if (json) {
    json_t *j = json_object();
    json_object_set_new(j, "name", json_string(name));
    json_object_set_new(j, "peer", json_peer(bytes));
    json_object_set_new(j, "topic", json_string(topic));
    json_object_set_new(j, "routing_key", json_hex(routing));
    put_json(stdout, j);
    return;
  }
  char hex[2 * MSUB_IPNS_KEY_MAX + 1];
  put_hex(hex, routing);
  printf("name         %s\npeer         %s\ntopic        %s\nrouting key  %s\n", name, peer_text(bytes), topic, hex);
}

/* A byte more than a record may have, so that a larger one is seen. */
static int read_record(const command *c, const char *file, uint8_t buf[MSUB_IPNS_RECORD_MAX + 1], msub_bytes *out) {
  size_t n = 0;
  int code = read_file(c, "", file, buf, MSUB_IPNS_RECORD_MAX + 1, &n);
  *out = (msub_bytes){ buf, n };
  return code;
}

static int inspect(int argc, char **argv) {
  static const command c = {
    "meshsub ipns inspect", "FILE | NAME [options]",
    "Shows what the record in FILE says, whoever signed it and however old it is (\"meshsub\n"
    "ipns verify\" judges); or a name in all its forms.",
    "Exit codes: 0 done, 1 FILE cannot be read or holds no record, 2 wrong usage."
  };
  bool json = false;
  const option_row rows[] = { { "--json", 0, OPT_FLAG, NULL, "One JSON object.", &json, 0, 0, NULL }, { 0 } };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 1) code = usage_error(&c, args.n ? "one FILE or NAME at a time" : "FILE or NAME is missing");
  msub_peer_id id;
  if (code < 0 && msub_ipns_name_parse(args.v[0], &id) == MSUB_OK) {
    print_name(&id, json);
    code = flush_out(c.program, stdout) ? EXIT_OK : EXIT_FAILED;
  }
  uint8_t buf[MSUB_IPNS_RECORD_MAX + 1];
  msub_bytes bytes;
  if (code < 0) code = read_record(&c, args.v[0], buf, &bytes);
  if (code < 0) {
    msub_ipns_record r;
    msub_ipns_fault f = msub_ipns_read(bytes, &r);
    if (f != MSUB_IPNS_OK) {
      say_error(c.program, "%s: no record: %s", quoted(args.v[0]), msub_ipns_fault_text(f));
      code = EXIT_FAILED;
    } else {
      print_record(&r, json);
      code = flush_out(c.program, stdout) ? EXIT_OK : EXIT_FAILED;
    }
  }
  free(args.v);
  return code;
}

static int verify(int argc, char **argv) {
  static const command c = {
    "meshsub ipns verify", "FILE --name NAME [options]",
    "Says whether the record in FILE is valid for the name, and if not, why.",
    "Exit codes: 0 it is, 1 FILE cannot be read, 2 wrong usage, 3 it is not."
  };
  bool json = false;
  const char *name = NULL, *at = NULL;
  const option_row rows[] = {
    { "--name", 0, OPT_TEXT, "NAME", "The name, in any form.", &name, 0, 0, NULL },
    { "--now", 0, OPT_TEXT, "TIME", "Judge as of this time, RFC 3339. Default: the clock's.", &at, 0, 0, NULL },
    { "--json", 0, OPT_FLAG, NULL, "One JSON object, with \"verdict\".", &json, 0, 0, NULL },
    { 0 },
  };
  text_list args = { 0 };
  msub_peer_id id;
  msub_ipns_time now = msub_ipns_time_of((int64_t)wall_ns());
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 1) code = usage_error(&c, args.n ? "one FILE at a time" : "FILE is missing");
  if (code < 0 && !name) code = usage_error(&c, "--name is missing: whose record should it be?");
  if (code < 0 && msub_ipns_name_parse(name, &id) != MSUB_OK)
    code = usage_error(&c, "--name %s: not a name; write k51..., 12D3Koo..., Qm... or bafz...", quoted(name));
  if (code < 0 && at && (msub_ipns_time_parse(msub_str(at), &now) != MSUB_OK || now.s > INT64_MAX / 1000000000 - 1 || now.s < INT64_MIN / 1000000000 + 1))
    code = usage_error(&c, "--now %s: write a time as 2026-11-28T12:00:00Z", quoted(at));
  uint8_t buf[MSUB_IPNS_RECORD_MAX + 1];
  msub_bytes bytes;
  if (code < 0) code = read_record(&c, args.v[0], buf, &bytes);
  if (code < 0) {
    msub_ipns_record r;
    msub_ipns_fault f = msub_ipns_verify(msub_peer_id_bytes(&id), bytes, now.s * 1000000000 + now.ns, MSUB_RSA_BITS_MAX, &r);
    code = f == MSUB_IPNS_OK ? EXIT_OK : EXIT_LATE;
    char until[31] = "";
    if (f == MSUB_IPNS_OK || f == MSUB_IPNS_EXPIRED) (void)msub_ipns_time_text(r.eol, until);
    if (json) {
      json_t *j = json_object();
      json_object_set_new(j, "verdict", json_string(msub_ipns_fault_name(f)));
      if (*until) json_object_set_new(j, "valid_until", json_string(until));
      if (*until) json_object_set_new(j, "sequence", json_integer((json_int_t)r.sequence));
      put_json(stdout, j);
    } else if (f == MSUB_IPNS_OK) {
      printf("valid until %s, sequence %" PRIu64 "\n", until, r.sequence);
    } else {
      say_error(c.program, "%s: %s%s%s", quoted(args.v[0]), msub_ipns_fault_text(f), f == MSUB_IPNS_EXPIRED ? " since " : "", f == MSUB_IPNS_EXPIRED ? until : "");
    }
    if (!flush_out(c.program, stdout)) code = EXIT_FAILED;
  }
  free(args.v);
  return code;
}

int cmd_ipns(int argc, char **argv) {
  static const command c = { "meshsub ipns", "publish KEY PATH | resolve NAME | follow NAME... | keep NAME... | serve | key ... | inspect FILE | verify FILE",
                             "IPNS names and records. \"meshsub ipns publish --help\" and so on say more.",
                             "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 nothing found, or not valid." };
  static const struct { const char *name; int (*run)(int argc, char **argv); } all[] = {
    { "publish", ipns_cmd_publish }, { "resolve", ipns_cmd_resolve }, { "follow", ipns_cmd_follow }, { "keep", ipns_cmd_keep },
    { "serve", cmd_ipns_serve },     { "key", ipns_cmd_key },         { "inspect", inspect },        { "verify", verify },
  };
  const option_row none[] = { { 0 } };
  for (size_t i = 0; argc > 1 && i < sizeof all / sizeof *all; i++)
    if (strcmp(argv[1], all[i].name) == 0) return all[i].run(argc - 1, argv + 1);
  text_list args = { 0 };
  int code = options_read(&c, none, argc, argv, &args);
  if (code < 0 && args.n)
    code = usage_error(&c, "unknown command %s; there are publish, resolve, follow, keep, serve, key, inspect and verify", quoted(args.v[0]));
  else if (code < 0) code = usage_error(&c, "what to do is missing; say publish, resolve, follow, keep, serve, key, inspect or verify");
  free(args.v);
  return code;
}
