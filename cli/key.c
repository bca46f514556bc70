/* meshsub key: identities. */
#include "cli/commands.h"
#include "cli/files.h"
#include "cli/key_file.h"
#include "cli/node.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void print_key(const msub_key *key, const char *file, bool json) {
  msub_bytes public = msub_key_public(key);
  const char *type = key_type_name(msub_key_type_of(key));
  if (json) {
    json_t *j = json_object();
    if (file) json_object_set_new(j, "file", json_string(file));
    json_object_set_new(j, "peer", json_peer(msub_key_peer_id(key)));
    json_object_set_new(j, "type", json_string(type));
    json_object_set_new(j, "public_key", json_hex(public));
    put_json(stdout, j);
    return;
  }
  char *hex = take(2 * public.n + 1);
  put_hex(hex, public);
  printf("peer        %s\ntype        %s\npublic key  %s\n", peer_text(msub_key_peer_id(key)), type, hex);
  free(hex);
}

static int key_import(int argc, char **argv) {
  static const command c = {
    "meshsub key import", "PEM FILE [options]",
    "Reads a private key in PEM (PKCS#8 plain or encrypted, PKCS#1, EC), as openssl and\n"
    "\"ipfs key export --format=pem-pkcs8-cleartext\" write it, and writes it to FILE\n"
    "(mode 0600). A file that exists is never overwritten. Prints the peer id.",
    "Exit codes: 0 done, 1 no such key, or FILE exists or cannot be written, 2 wrong usage."
  };
  bool json = false;
  const char *secret_file = NULL;
  const option_row rows[] = {
    { "--passphrase", 0, OPT_TEXT, "FILE", "The passphrase is the first line of FILE.", &secret_file, 0, 0, NULL },
    { "--json", 0, OPT_FLAG, NULL, "Print one JSON object.", &json, 0, 0, NULL },
    { 0 },
  };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 2)
    code = usage_error(&c, "%s", args.n < 2 ? "PEM and FILE are wanted; name the key to read and the file to make" : "one PEM and one FILE only");
  const char *pem = args.n ? args.v[0] : NULL, *file = args.n > 1 ? args.v[1] : NULL;
  free(args.v);
  if (code >= 0) return code;
  uint8_t bytes[KEY_BYTES_MAX], secret[1024];
  size_t n = 0, secret_n = 0;
  msub_key *key = NULL;
  code = key_passphrase(&c, secret_file, secret, sizeof secret, &secret_n);
  if (code < 0) code = read_file(&c, "", pem, bytes, sizeof bytes, &n);
  if (code < 0) code = key_of_pem(&c, pem, (msub_bytes){ bytes, n }, (msub_bytes){ secret, secret_n }, &key);
  if (code < 0) {
    n = msub_key_export(key, bytes, sizeof bytes);
    code = key_write(&c, file, bytes, n);
    if (code == EXIT_OK && json) print_key(key, file, true);
    else if (code == EXIT_OK) puts(peer_text(msub_key_peer_id(key)));
  }
  explicit_bzero(bytes, sizeof bytes);
  explicit_bzero(secret, sizeof secret);
  msub_key_free(key);
  return code == EXIT_OK && !flush_out(c.program, stdout) ? EXIT_FAILED : code;
}

static int key_export(int argc, char **argv) {
  static const command c = {
    "meshsub key export", "FILE PEM | - [options]",
    "Writes a key file as PKCS#8 in PEM to the new file PEM (mode 0600), or to standard\n"
    "output. With a passphrase it is encrypted (AES-256-CBC, PBKDF2 with 600,000 rounds).",
    "Exit codes: 0 done, 1 the file is no readable key, or PEM exists or cannot be written, 2 wrong usage."
  };
  const char *secret_file = NULL;
  const option_row rows[] = {
    { "--passphrase", 0, OPT_TEXT, "FILE", "Encrypt it; the passphrase is the first line of FILE.", &secret_file, 0, 0, NULL },
    { 0 },
  };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 2)
    code = usage_error(&c, "%s", args.n < 2 ? "FILE and PEM are wanted; name the key and the file to make, or - for standard output"
                                            : "one FILE and one PEM only");
  const char *file = args.n ? args.v[0] : NULL, *pem = args.n > 1 ? args.v[1] : NULL;
  free(args.v);
  if (code >= 0) return code;
  uint8_t secret[1024];
  char text[KEY_BYTES_MAX];
  size_t secret_n = 0;
  msub_key *key = NULL;
  code = key_passphrase(&c, secret_file, secret, sizeof secret, &secret_n);
  if (code < 0) code = key_read(c.program, "", file, &key);
  if (code < 0) {
    size_t n = msub_key_to_pem(key, (msub_bytes){ secret, secret_n }, text, sizeof text);
    if (n == 0 || n > sizeof text) {
      say_error(c.program, "out of memory");
      code = EXIT_FAILED;
    } else if (strcmp(pem, "-") != 0) {
      code = key_write(&c, pem, (const uint8_t *)text, n);
    } else {
      code = key_write_fd(STDOUT_FILENO, (const uint8_t *)text, n) ? EXIT_OK : EXIT_FAILED;
      if (code) say_error(c.program, "standard output cannot be written: %s", strerror(errno));
    }
  }
  explicit_bzero(text, sizeof text);
  explicit_bzero(secret, sizeof secret);
  msub_key_free(key);
  return code;
}

static int key_new(int argc, char **argv) {
  static const command c = {
    "meshsub key new", "FILE [options]",
    "Makes a new identity and writes it to FILE (mode 0600), as a libp2p PrivateKey\n"
    "protobuf. A file that exists is never overwritten. Prints the peer id.",
    "Exit codes: 0 done, 1 the file exists or cannot be written, 2 wrong usage."
  };
  bool json = false, to_stdout = false;
  const char *type_name = NULL;
  uint64_t bits = KEY_BITS;
  const option_row rows[] = {
    KEY_TYPE_OPTIONS(&type_name, &bits),
    { "--stdout", 0, OPT_FLAG, NULL, "Write the key to standard output instead of a file.", &to_stdout, 0, 0,
      NULL },
    { "--json", 0, OPT_FLAG, NULL, "Print one JSON object.", &json, 0, 0, NULL },
    { 0 },
  };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && to_stdout && (args.n || json))
    code = usage_error(&c, "--stdout goes with neither a FILE nor --json: the key is all that is written");
  if (code < 0 && !to_stdout && args.n != 1)
    code = usage_error(&c, args.n ? "one FILE only" : "FILE is missing; name the file to make");
  const char *file = args.n ? args.v[0] : NULL;
  free(args.v);
  msub_key_type type = MSUB_KEY_ED25519;
  msub_key *key = NULL;
  if (code < 0) code = key_type_option(&c, type_name, &type);
  if (code < 0) code = key_make(c.program, type, (unsigned)bits, &key);
  if (code >= 0) return code;
  uint8_t bytes[KEY_BYTES_MAX];
  size_t n = msub_key_export(key, bytes, sizeof bytes);
  if (to_stdout) {
    code = key_write_fd(STDOUT_FILENO, bytes, n) ? EXIT_OK : EXIT_FAILED;
    if (code) say_error(c.program, "standard output cannot be written: %s", strerror(errno));
  } else {
    code = key_write(&c, file, bytes, n);
    if (code == EXIT_OK && json)
      print_key(key, file, true);
    else if (code == EXIT_OK)
      puts(peer_text(msub_key_peer_id(key)));
  }
  explicit_bzero(bytes, sizeof bytes);
  msub_key_free(key);
  return code == EXIT_OK && !flush_out(c.program, stdout) ? EXIT_FAILED : code;
}

static int key_show(int argc, char **argv) {
  static const command c = {
    "meshsub key show", "FILE [options]",
    "Prints the peer id, type and public key (a PublicKey protobuf, in hex) of a key file.",
    "Exit codes: 0 done, 1 the file is no readable key, 2 wrong usage."
  };
  bool json = false;
  const option_row rows[] = { { "--json", 0, OPT_FLAG, NULL, "Print one JSON object.", &json, 0, 0, NULL },
                              { 0 } };
  text_list args = { 0 };
  int code = options_read(&c, rows, argc, argv, &args);
  if (code < 0 && args.n != 1)
    code = usage_error(&c, args.n ? "one FILE only" : "FILE is missing; name a key file");
  const char *file = args.n ? args.v[0] : NULL;
  free(args.v);
  if (code >= 0) return code;
  msub_key *key = NULL;
  code = key_read(c.program, "", file, &key);
  if (code >= 0) return code;
  print_key(key, file, json);
  msub_key_free(key);
  return flush_out(c.program, stdout) ? EXIT_OK : EXIT_FAILED;
}

int cmd_key(int argc, char **argv) {
  static const command c = {
    "meshsub key", "new FILE | show FILE | import PEM FILE | export FILE PEM",
    "Makes and shows identities, and takes them from and to PEM. \"meshsub key new --help\"\n"
    "and so on say more.",
    "Exit codes: 0 done, 1 failed, 2 wrong usage."
  };
  const option_row none[] = { { 0 } };
  if (argc > 1 && strcmp(argv[1], "new") == 0) return key_new(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "show") == 0) return key_show(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "import") == 0) return key_import(argc - 1, argv + 1);
  if (argc > 1 && strcmp(argv[1], "export") == 0) return key_export(argc - 1, argv + 1);
  text_list args = { 0 };
  int code = options_read(&c, none, argc, argv, &args);
  if (code < 0 && args.n)
    code = usage_error(&c, "unknown command %s; there are new, show, import and export", quoted(args.v[0]));
  else if (code < 0)
    code = usage_error(&c, "what to do is missing; say new, show, import or export");
  free(args.v);
  return code;
}
