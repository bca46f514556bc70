/* The subcommands. argv[0] is the subcommand's name; the result is the exit code. */
#ifndef CLI_COMMANDS_H
#define CLI_COMMANDS_H
int cmd_check_params(int argc, char **argv);
int cmd_connect(int argc, char **argv);
int cmd_disconnect(int argc, char **argv);
int cmd_ipns(int argc, char **argv);
int cmd_key(int argc, char **argv);
int cmd_log(int argc, char **argv);
int cmd_mesh(int argc, char **argv);
int cmd_node(int argc, char **argv);
int cmd_peers(int argc, char **argv);
int cmd_pub(int argc, char **argv);
int cmd_state(int argc, char **argv);
int cmd_store(int argc, char **argv);
int cmd_sub(int argc, char **argv);
int cmd_topics(int argc, char **argv);
#endif
