# The RPC codec; CMakeLists.txt beside this file takes the list.
set(MSUB_RPC_SOURCES rpc_wire.c rpc_scan.c rpc_read.c rpc_write.c msg_wire.c frames.c)
