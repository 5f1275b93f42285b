"""The databases' own functions and words, by name: a function that isn't here may be the application's own.

PostgreSQL's are those of ``pg_catalog`` in version 15 that are called by name, without such as run a query that they are given
(``query_to_xml``, ``ts_stat``); what its grammar writes as functions; newer ones; and those of frequent extensions. MySQL's are
MariaDB 10.11's ``information_schema.SQL_FUNCTIONS``, and those of the manuals; SQLite's those of ``PRAGMA function_list``, without
``load_extension``; SQL Server's those of its manual.
"""

from __future__ import annotations

from typing import Final

__all__ = ("ELSEWHERE", "FAMILIES", "INFIX", "MSSQL", "MYSQL", "OPENERS", "POSTGRESQL", "SQLITE", "SYNTAX")


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FAMILIES: Final = ("st_", "postgis_")
"""What the names of geographic functions begin with."""

POSTGRESQL: Final = _words(
    """
    abbrev abs aclcontains acldefault aclexplode aclinsert aclremove acos acosd acosh age akeys amvalidate any_value area armor array_agg
    array_append array_cat array_dims array_fill array_larger array_length array_lower array_ndims array_position array_positions
    array_prepend array_remove array_replace array_reverse array_sample array_shuffle array_sort array_to_json array_to_string
    array_to_tsvector array_upper ascii asin asind asinh atan atan2 atan2d atand atanh avals avg bit bit_and bit_count bit_length bit_or
    bit_xor bool bool_and bool_or bound_box box box2d box3d bpchar broadcast btrim bytea cardinality casefold cash_words cast cbrt ceil
    ceiling center char char_length character_length chr cidr circle clock_timestamp coalesce col_description collation concat concat_ws
    convert convert_from convert_to corr cos cosd cosh cot cotd count covar_pop covar_samp crc32 crc32c crypt cume_dist current_catalog
    current_database current_date current_query current_role current_schema current_schemas current_setting current_time current_timestamp
    current_user currtid2 currval date date_bin date_part date_trunc datemultirange daterange daterange_canonical daterange_subdiff
    dearmor decode decrypt decrypt_iv degrees dense_rank dexp diagonal diameter difference digest div dlog1 dlog10 dmetaphone
    dmetaphone_alt dround dtrunc encode encrypt encrypt_iv enum_first enum_last enum_range erf erfc every exp extract factorial family
    first_value float4 float8 floor fmgr_c_validator fmgr_internal_validator fmgr_sql_validator format format_type gamma gcd
    gen_random_bytes gen_random_uuid gen_salt generate_series generate_subscripts geography geometry get_bit get_byte
    get_current_ts_config getdatabaseencoding getpgusername gin_clean_pending_list greatest grouping has_any_column_privilege
    has_column_privilege has_database_privilege has_foreign_data_wrapper_privilege has_function_privilege has_language_privilege
    has_parameter_privilege has_schema_privilege has_sequence_privilege has_server_privilege has_table_privilege has_tablespace_privilege
    has_type_privilege hashtext hashtextextended height hmac host hostmask hstore hstore_to_json hstore_to_jsonb inet inet_client_addr
    inet_client_port inet_merge inet_same_family inet_server_addr inet_server_port initcap int2 int4 int4inc int4multirange int4range
    int4range_canonical int4range_subdiff int8 int8dec int8dec_any int8inc int8inc_any int8multirange int8range int8range_canonical
    int8range_subdiff interval is_normalized isclosed isempty isfinite ishorizontal isopen isparallel isperp isvertical json json_agg
    json_array json_array_elements json_array_elements_text json_array_length json_arrayagg json_build_array json_build_object json_each
    json_each_text json_exists json_extract_path json_extract_path_text json_object json_object_agg json_object_keys json_objectagg
    json_populate_record json_populate_recordset json_query json_scalar json_serialize json_strip_nulls json_table json_to_record
    json_to_recordset json_to_tsvector json_typeof json_value jsonb jsonb_agg jsonb_array_elements jsonb_array_elements_text
    jsonb_array_length jsonb_build_array jsonb_build_object jsonb_concat jsonb_contained jsonb_contains jsonb_delete jsonb_delete_path
    jsonb_each jsonb_each_text jsonb_exists jsonb_exists_all jsonb_exists_any jsonb_extract_path jsonb_extract_path_text jsonb_insert
    jsonb_object jsonb_object_agg jsonb_object_keys jsonb_path_exists jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz
    jsonb_path_query jsonb_path_query_array jsonb_path_query_array_tz jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz
    jsonb_populate_record jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls jsonb_to_record
    jsonb_to_recordset jsonb_to_tsvector jsonb_typeof justify_days justify_hours justify_interval lag last_value lastval lca lcm lead
    least left length levenshtein levenshtein_less_equal lgamma like like_escape line ln lo_close lo_creat lo_create lo_export
    lo_from_bytea lo_get lo_import lo_lseek lo_lseek64 lo_open lo_put lo_tell lo_tell64 lo_truncate lo_truncate64 lo_unlink localtime
    localtimestamp log log10 loread lower lower_inc lower_inf lowrite lpad lseg ltree2text ltrim macaddr macaddr8 macaddr8_set7bit
    make_date make_interval make_time make_timestamp make_timestamptz makeaclitem masklen max md5 metaphone min min_scale mod mode money
    multirange multirange_intersect_agg_transfn mxid_age name nameconcatoid netmask network nextval nlevel normalize notlike now npoints
    nth_value ntile nullif num_nonnulls num_nulls numeric numeric_div_trunc numeric_exp numeric_inc numeric_ln numeric_log numeric_sqrt
    nummultirange numnode numrange numrange_subdiff obj_description octet_length oid oidvectortypes overlaps overlay parse_ident path
    pclose percent_rank percentile_cont percentile_disc pg_advisory_lock pg_advisory_lock_shared pg_advisory_unlock pg_advisory_unlock_all
    pg_advisory_unlock_shared pg_advisory_xact_lock pg_advisory_xact_lock_shared pg_available_extension_versions pg_available_extensions
    pg_backend_pid pg_backup_start pg_backup_stop pg_blocking_pids pg_cancel_backend pg_char_to_encoding pg_client_encoding
    pg_collation_actual_version pg_collation_for pg_collation_is_visible pg_column_compression pg_column_is_updatable pg_column_size
    pg_conf_load_time pg_config pg_control_checkpoint pg_control_init pg_control_recovery pg_control_system pg_conversion_is_visible
    pg_copy_logical_replication_slot pg_copy_physical_replication_slot pg_create_logical_replication_slot
    pg_create_physical_replication_slot pg_create_restore_point pg_current_logfile pg_current_snapshot pg_current_wal_flush_lsn
    pg_current_wal_insert_lsn pg_current_wal_lsn pg_current_xact_id pg_current_xact_id_if_assigned pg_cursor
    pg_database_collation_actual_version pg_database_size pg_describe_object pg_drop_replication_slot pg_encoding_max_length
    pg_encoding_to_char pg_event_trigger_ddl_commands pg_event_trigger_dropped_objects pg_event_trigger_table_rewrite_oid
    pg_event_trigger_table_rewrite_reason pg_export_snapshot pg_extension_config_dump pg_extension_update_paths pg_filenode_relation
    pg_function_is_visible pg_get_backend_memory_contexts pg_get_catalog_foreign_keys pg_get_constraintdef pg_get_expr
    pg_get_function_arg_default pg_get_function_arguments pg_get_function_identity_arguments pg_get_function_result
    pg_get_function_sqlbody pg_get_functiondef pg_get_indexdef pg_get_keywords pg_get_multixact_members pg_get_object_address
    pg_get_partition_constraintdef pg_get_partkeydef pg_get_publication_tables pg_get_replica_identity_index pg_get_replication_slots
    pg_get_ruledef pg_get_serial_sequence pg_get_shmem_allocations pg_get_statisticsobjdef pg_get_statisticsobjdef_columns
    pg_get_statisticsobjdef_expressions pg_get_triggerdef pg_get_userbyid pg_get_viewdef pg_get_wal_replay_pause_state
    pg_get_wal_resource_managers pg_has_role pg_hba_file_rules pg_ident_file_mappings pg_identify_object pg_identify_object_as_address
    pg_import_system_collations pg_index_column_has_property pg_index_has_property pg_indexam_has_property pg_indexam_progress_phasename
    pg_indexes_size pg_is_in_recovery pg_is_other_temp_schema pg_is_wal_replay_paused pg_isolation_test_session_is_blocked
    pg_jit_available pg_last_committed_xact pg_last_wal_receive_lsn pg_last_wal_replay_lsn pg_last_xact_replay_timestamp
    pg_listening_channels pg_lock_status pg_log_backend_memory_contexts pg_logical_emit_message pg_logical_slot_get_binary_changes
    pg_logical_slot_get_changes pg_logical_slot_peek_binary_changes pg_logical_slot_peek_changes pg_ls_archive_statusdir pg_ls_dir
    pg_ls_logdir pg_ls_logicalmapdir pg_ls_logicalsnapdir pg_ls_replslotdir pg_ls_tmpdir pg_ls_waldir pg_lsn pg_mcv_list_items
    pg_my_temp_schema pg_nextoid pg_notification_queue_usage pg_notify pg_opclass_is_visible pg_operator_is_visible pg_opfamily_is_visible
    pg_options_to_table pg_partition_ancestors pg_partition_root pg_partition_tree pg_postmaster_start_time pg_prepared_statement
    pg_prepared_xact pg_promote pg_read_binary_file pg_read_file pg_read_file_old pg_relation_filenode pg_relation_filepath
    pg_relation_is_publishable pg_relation_is_updatable pg_relation_size pg_reload_conf pg_replication_origin_advance
    pg_replication_origin_create pg_replication_origin_drop pg_replication_origin_oid pg_replication_origin_progress
    pg_replication_origin_session_is_setup pg_replication_origin_session_progress pg_replication_origin_session_reset
    pg_replication_origin_session_setup pg_replication_origin_xact_reset pg_replication_origin_xact_setup pg_replication_slot_advance
    pg_rotate_logfile pg_rotate_logfile_old pg_safe_snapshot_blocking_pids pg_sequence_last_value pg_sequence_parameters
    pg_settings_get_flags pg_show_all_file_settings pg_show_all_settings pg_show_replication_origin_status pg_size_bytes pg_size_pretty
    pg_sleep pg_sleep_for pg_sleep_until pg_snapshot_xip pg_snapshot_xmax pg_snapshot_xmin pg_stat_clear_snapshot pg_stat_file
    pg_stat_force_next_flush pg_stat_get_activity pg_stat_get_analyze_count pg_stat_get_archiver pg_stat_get_autoanalyze_count
    pg_stat_get_autovacuum_count pg_stat_get_backend_activity pg_stat_get_backend_activity_start pg_stat_get_backend_client_addr
    pg_stat_get_backend_client_port pg_stat_get_backend_dbid pg_stat_get_backend_idset pg_stat_get_backend_pid pg_stat_get_backend_start
    pg_stat_get_backend_userid pg_stat_get_backend_wait_event pg_stat_get_backend_wait_event_type pg_stat_get_backend_xact_start
    pg_stat_get_bgwriter_buf_written_checkpoints pg_stat_get_bgwriter_buf_written_clean pg_stat_get_bgwriter_maxwritten_clean
    pg_stat_get_bgwriter_requested_checkpoints pg_stat_get_bgwriter_stat_reset_time pg_stat_get_bgwriter_timed_checkpoints
    pg_stat_get_blocks_fetched pg_stat_get_blocks_hit pg_stat_get_buf_alloc pg_stat_get_buf_fsync_backend pg_stat_get_buf_written_backend
    pg_stat_get_checkpoint_sync_time pg_stat_get_checkpoint_write_time pg_stat_get_db_active_time pg_stat_get_db_blk_read_time
    pg_stat_get_db_blk_write_time pg_stat_get_db_blocks_fetched pg_stat_get_db_blocks_hit pg_stat_get_db_checksum_failures
    pg_stat_get_db_checksum_last_failure pg_stat_get_db_conflict_all pg_stat_get_db_conflict_bufferpin pg_stat_get_db_conflict_lock
    pg_stat_get_db_conflict_snapshot pg_stat_get_db_conflict_startup_deadlock pg_stat_get_db_conflict_tablespace pg_stat_get_db_deadlocks
    pg_stat_get_db_idle_in_transaction_time pg_stat_get_db_numbackends pg_stat_get_db_session_time pg_stat_get_db_sessions
    pg_stat_get_db_sessions_abandoned pg_stat_get_db_sessions_fatal pg_stat_get_db_sessions_killed pg_stat_get_db_stat_reset_time
    pg_stat_get_db_temp_bytes pg_stat_get_db_temp_files pg_stat_get_db_tuples_deleted pg_stat_get_db_tuples_fetched
    pg_stat_get_db_tuples_inserted pg_stat_get_db_tuples_returned pg_stat_get_db_tuples_updated pg_stat_get_db_xact_commit
    pg_stat_get_db_xact_rollback pg_stat_get_dead_tuples pg_stat_get_function_calls pg_stat_get_function_self_time
    pg_stat_get_function_total_time pg_stat_get_ins_since_vacuum pg_stat_get_last_analyze_time pg_stat_get_last_autoanalyze_time
    pg_stat_get_last_autovacuum_time pg_stat_get_last_vacuum_time pg_stat_get_live_tuples pg_stat_get_mod_since_analyze
    pg_stat_get_numscans pg_stat_get_progress_info pg_stat_get_recovery_prefetch pg_stat_get_replication_slot pg_stat_get_slru
    pg_stat_get_snapshot_timestamp pg_stat_get_subscription pg_stat_get_subscription_stats pg_stat_get_tuples_deleted
    pg_stat_get_tuples_fetched pg_stat_get_tuples_hot_updated pg_stat_get_tuples_inserted pg_stat_get_tuples_returned
    pg_stat_get_tuples_updated pg_stat_get_vacuum_count pg_stat_get_wal pg_stat_get_wal_receiver pg_stat_get_wal_senders
    pg_stat_get_xact_blocks_fetched pg_stat_get_xact_blocks_hit pg_stat_get_xact_function_calls pg_stat_get_xact_function_self_time
    pg_stat_get_xact_function_total_time pg_stat_get_xact_numscans pg_stat_get_xact_tuples_deleted pg_stat_get_xact_tuples_fetched
    pg_stat_get_xact_tuples_hot_updated pg_stat_get_xact_tuples_inserted pg_stat_get_xact_tuples_returned pg_stat_get_xact_tuples_updated
    pg_stat_have_stats pg_stat_reset pg_stat_reset_replication_slot pg_stat_reset_shared pg_stat_reset_single_function_counters
    pg_stat_reset_single_table_counters pg_stat_reset_slru pg_stat_reset_subscription_stats pg_statistics_obj_is_visible
    pg_stop_making_pinned_objects pg_switch_wal pg_table_is_visible pg_table_size pg_tablespace_databases pg_tablespace_location
    pg_tablespace_size pg_terminate_backend pg_timezone_abbrevs pg_timezone_names pg_total_relation_size pg_trigger_depth
    pg_try_advisory_lock pg_try_advisory_lock_shared pg_try_advisory_xact_lock pg_try_advisory_xact_lock_shared pg_ts_config_is_visible
    pg_ts_dict_is_visible pg_ts_parser_is_visible pg_ts_template_is_visible pg_type_is_visible pg_typeof pg_visible_in_snapshot
    pg_wal_lsn_diff pg_wal_replay_pause pg_wal_replay_resume pg_walfile_name pg_walfile_name_offset pg_xact_commit_timestamp
    pg_xact_commit_timestamp_origin pg_xact_status pgp_pub_decrypt pgp_pub_encrypt pgp_sym_decrypt pgp_sym_encrypt phraseto_tsquery pi
    plainto_tsquery plpgsql_call_handler plpgsql_validator point polygon popen position postgresql_fdw_validator pow power querytree
    quote_ident quote_literal quote_nullable radians radius random random_normal range_agg range_intersect_agg range_intersect_agg_transfn
    range_merge rank regclass regexp_count regexp_instr regexp_like regexp_match regexp_matches regexp_replace regexp_split_to_array
    regexp_split_to_table regexp_substr regproc regr_avgx regr_avgy regr_count regr_intercept regr_r2 regr_slope regr_sxx regr_sxy
    regr_syy regtype repeat replace reverse right round row row_number row_security_active row_to_json rpad rtrim scale session_user
    set_bit set_byte set_config set_masklen setseed setval setweight sha224 sha256 sha384 sha512 shobj_description show_limit show_trgm
    sign similar_escape similar_to_escape similarity sin sind sinh skeys slope soundex split_part sqrt starts_with statement_timestamp
    stddev stddev_pop stddev_samp strict_word_similarity string_agg string_to_array string_to_table strip strpos subltree subpath substr
    substring sum svals tan tand tanh text text2ltree textcat textlen time timeofday timestamp timestamptz timetz timezone to_ascii to_bin
    to_char to_date to_hex to_json to_jsonb to_number to_oct to_regclass to_regcollation to_regnamespace to_regoper to_regoperator
    to_regproc to_regprocedure to_regrole to_regtype to_timestamp to_tsquery to_tsvector transaction_timestamp translate treat trim
    trim_array trim_scale trunc ts_debug ts_delete ts_filter ts_headline ts_lexize ts_match_vq ts_parse ts_rank ts_rank_cd ts_token_type
    tsmultirange tsquery tsquery_phrase tsrange tsrange_subdiff tstzmultirange tstzrange tstzrange_subdiff tsvector tsvector_to_array
    txid_current txid_current_if_assigned txid_current_snapshot txid_snapshot_xip txid_snapshot_xmax txid_snapshot_xmin txid_status
    txid_visible_in_snapshot unaccent unistr unnest upper upper_inc upper_inf user uuid uuid_extract_timestamp uuid_extract_version
    uuid_generate_v1 uuid_generate_v1mc uuid_generate_v3 uuid_generate_v4 uuid_generate_v5 uuid_nil uuid_ns_dns uuid_ns_oid uuid_ns_url
    uuid_ns_x500 uuidv4 uuidv7 var_pop var_samp varbit varchar variance version websearch_to_tsquery width width_bucket word_similarity
    xid xml xml_is_well_formed xml_is_well_formed_content xml_is_well_formed_document xmlagg xmlcomment xmlconcat xmlelement xmlexists
    xmlforest xmlparse xmlpi xmlroot xmlserialize xmlvalidate xpath xpath_exists
    """
)

MYSQL: Final = _words(
    """
    abs acos add_months adddate addtime aes_decrypt aes_encrypt any_value area ascii asin astext aswkt atan atan2 benchmark bin
    bin_to_uuid binlog_gtid_pos bit_and bit_count bit_length bit_or bit_xor cast ceil ceiling char char_length character_length chr
    coalesce coercibility collation column_check column_exists column_json column_list compress concat concat_operator_oracle concat_ws
    connection_id contains conv convert convert_tz cos cot count crc32 crc32c cume_dist curdate current_date current_role current_time
    current_timestamp current_user curtime database date date_add date_format date_sub datediff datetime day dayname dayofmonth dayofweek
    dayofyear decode decode_histogram decode_oracle default degrees dense_rank des_decrypt des_encrypt div elt encode encrypt envelope
    equals exp export_set extract extractvalue field find_in_set first_value floor format format_bytes format_pico_time found_rows
    from_base64 from_days from_unixtime from_vector geometrycollection geomfromtext get_lock greatest group_concat grouping gtid_subset
    gtid_subtract hex hour icu_version if ifnull inet6_aton inet6_ntoa inet_aton inet_ntoa insert instr intersects interval is_free_lock
    is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 is_used_lock is_uuid isnull json_array json_array_append json_array_insert json_arrayagg
    json_compact json_contains json_contains_path json_depth json_detailed json_equals json_exists json_extract json_insert json_keys
    json_length json_loose json_merge json_merge_patch json_merge_preserve json_normalize json_object json_objectagg json_overlaps
    json_pretty json_query json_quote json_remove json_replace json_schema_valid json_search json_set json_storage_free json_storage_size
    json_table json_type json_unquote json_valid json_value lag last_day last_insert_id last_value lastval lcase lead least left length
    lengthb linestring ln load_file localtime localtimestamp locate log log10 log2 lower lpad lpad_oracle ltrim ltrim_oracle make_set
    makedate maketime master_gtid_wait master_pos_wait max md5 median member microsecond mid min minute mod month monthname
    multilinestring multipoint multipolygon name_const natural_sort_key nextval now nth_value ntile nullif nvl nvl2 oct octet_length of
    old_password ord password percent_rank percentile_cont percentile_disc period_add period_diff pi point polygon position pow power
    ps_current_thread_id ps_thread_id quarter quote radians rand random_bytes rank regexp_instr regexp_like regexp_replace regexp_substr
    release_all_locks release_lock repeat replace replace_oracle reverse right roles_graphml round row_count row_number rpad rpad_oracle
    rtrim rtrim_oracle schema schemas sec_to_time second session_user setval sformat sha sha1 sha2 sign sin sleep soundex source_pos_wait
    space sqrt statement_digest statement_digest_text std stddev stddev_pop stddev_samp str_to_date strcmp subdate substr substr_oracle
    substring substring_index subtime sum sys_guid sysdate system_user tan time time_format time_to_sec timediff timestamp timestampadd
    timestampdiff to_base64 to_char to_date to_days to_number to_seconds to_vector trim trim_oracle ucase uncompress uncompressed_length
    unhex unix_timestamp updatexml upper user utc_date utc_time utc_timestamp uuid uuid_short uuid_to_bin uuid_v4 uuid_v7 uuidv7
    validate_password_strength values var_pop var_samp variance vec_distance vec_fromtext vec_totext version wait_for_executed_gtid_set
    week weekday weekofyear within wsrep_last_seen_gtid wsrep_last_written_gtid wsrep_sync_wait_upto_gtid x y year yearweek
    """
)

SQLITE: Final = _words(
    """
    abs acos acosh asin asinh atan atan2 atanh avg bm25 cast ceil ceiling changes char coalesce concat concat_ws cos cosh count cume_dist
    current_date current_time current_timestamp date datetime degrees dense_rank exp first_value floor format fts5 fts5_source_id
    generate_series glob group_concat hex highlight ifnull iif instr json json_array json_array_length json_each json_extract
    json_group_array json_group_object json_insert json_object json_patch json_quote json_remove json_replace json_set json_tree json_type
    json_valid julianday lag last_insert_rowid last_value lead length like likelihood likely ln log log10 log2 lower ltrim match max min
    mod nth_value ntile nullif octet_length percent_rank pi pow power printf quote radians raise random randomblob rank replace round
    row_number rtreedepth rtreenode rtrim sign sin sinh soundex sqlite_compileoption_get sqlite_compileoption_used sqlite_log
    sqlite_source_id sqlite_version sqrt strftime string_agg substr substring subtype sum tan tanh time timediff total total_changes trim
    trunc typeof unicode unixepoch unlikely upper zeroblob
    """
)

MSSQL: Final = _words(
    """
    abs app_name approx_count_distinct avg cast ceiling charindex checksum choose coalesce concat concat_ws convert count count_big
    datalength dateadd datediff datediff_big datename datepart datetrunc day db_id db_name dense_rank eomonth first_value floor format
    generate_series getdate getutcdate greatest grouping hashbytes host_name ident_current iif isdate isjson isnull isnumeric json_modify
    json_query json_value lag last_value lead least left len lower ltrim max min month nchar newid newsequentialid ntile nullif object_id
    object_name openjson parse patindex power quotename rand rank replace replicate reverse right round row_number rtrim scope_identity
    sign space sqrt str string_agg string_split stuff substring sum suser_name suser_sname sysdatetime sysdatetimeoffset sysutcdatetime
    translate trim try_cast try_convert try_parse unicode upper user_name year
    """
)

SYNTAX: Final = _words(
    """
    all and any array as asymmetric between bigint bit boolean case char character check dec decimal distinct else end except exists fetch
    float for from group having in int integer intersect interval into lateral limit national nchar not null numeric offset on only or
    order precision primary real returning row select smallint some symmetric table then time timestamp union unique using values varchar
    when where window with
    """
)
"""Words that a bracket may follow too and that no function's name can be, and types."""
ELSEWHERE: Final = _words(
    """
    binary columns datetime div force index key mediumint mod nvarchar partition regexp rlike signed straight_join tinyint top unsigned
    use value varbinary varchar2 xor year
    """
)
"""More of them, not in PostgreSQL."""
INFIX: Final = _words("cross full ilike inner is isnull join like natural notnull outer overlaps set similar")
"""Those that are words of the grammar only behind an operand; else they may be a function's name."""
OPENERS: Final = _words("all and by case distinct else having not on or returning select set then values when where")
"""What no operand is, though it looks like a name."""
