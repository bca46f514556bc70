# The stores by themselves, with the suite that every implementation runs.
if(MSUB_BUILD_TESTS)
  add_library(msub_store_test STATIC $<TARGET_OBJECTS:msub_store> $<TARGET_OBJECTS:msub_store_keys>)
  set_target_properties(msub_store_test PROPERTIES LINKER_LANGUAGE C)
  target_link_libraries(msub_store_test PUBLIC msub_foundation PRIVATE msub_flags)
endif()

msub_criterion_test(unit.store TIER quick SOURCES test_store.c ../support/store_suite.c ../support/count_mem.c LIBS msub_store_test)
if(TARGET unit.store)
  target_include_directories(unit.store PRIVATE ../support)
endif()

if(MSUB_BUILD_TESTS AND TARGET msub_store_disk)
  add_library(msub_store_disk_test STATIC $<TARGET_OBJECTS:msub_store_disk>)
  set_target_properties(msub_store_disk_test PROPERTIES LINKER_LANGUAGE C)
  target_link_libraries(msub_store_disk_test PUBLIC msub_store_test PkgConfig::LMDB Threads::Threads PRIVATE msub_flags)
  msub_criterion_test(unit.store-disk TIER quick SOURCES test_store_disk.c ../support/store_suite.c ../support/disk_kit.c ../support/count_mem.c
    LIBS msub_store_disk_test)
  if(TARGET unit.store-disk)
    target_include_directories(unit.store-disk PRIVATE ../support)
  endif()
  msub_criterion_test(unit.store-calls TIER quick SOURCES test_store_calls.c ../support/store_suite.c ../support/disk_kit.c ../support/count_mem.c
    LIBS msub_store_disk_test)
  if(TARGET unit.store-calls)
    target_include_directories(unit.store-calls PRIVATE ../support)
    foreach(name mdb_env_create mdb_env_set_maxdbs mdb_env_set_mapsize mdb_env_open mdb_env_info mdb_reader_check mdb_txn_begin mdb_txn_renew mdb_dbi_open
            mdb_get mdb_stat mdb_cursor_open mdb_cursor_renew mdb_cursor_get mdb_put mdb_txn_commit pipe pthread_sigmask pthread_create fstat fcntl statvfs)
      target_link_options(unit.store-calls PRIVATE -Wl,--wrap=${name})
    endforeach()
  endif()
endif()
if(TARGET msub_store_disk_test)
  msub_program_test(unit.store-threads TIER quick SOURCES store_threads.c ../support/store_suite.c ../support/disk_kit.c ../support/count_mem.c
    LIBS msub_store_disk_test)
  target_include_directories(unit.store-threads PRIVATE ../support)
endif()
