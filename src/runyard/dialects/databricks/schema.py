"""What requests hold: every field with its type, as published in the service's Jobs API (databricks-sdk 0.156.0).

Pure data. `[X]` is a list, `{X}` a map from text, a capital letter begins another structure or an enumeration.
"""

from __future__ import annotations

_REQUESTS = """
Create: access_control_list [JobAccessControlRequest], budget_policy_id str, continuous Continuous, deployment
    JobDeployment, description str, duration_target str, edit_mode JobEditMode, email_notifications
    JobEmailNotifications, environment_variables [JobEnvironmentVariables], environments [JobEnvironment], format
    Format, git_source GitSource, health JobsHealthRules, job_clusters [JobCluster], max_concurrent_runs int, name
    str, notification_settings JobNotificationSettings, parameters [JobParameterDefinition], parent_path str,
    performance_target PerformanceTarget, queue QueueSettings, run_as JobRunAs, schedule CronSchedule, tags {str},
    tasks [Task], timeout_seconds int, trigger TriggerSettings, triggers [TriggerConfiguration], usage_policy_id
    str, webhook_notifications WebhookNotifications
RunNow: job_id int, dbt_commands [str], duration_target str, idempotency_token str, jar_params [str], job_parameters
    {str}, notebook_params {str}, only [str], performance_target PerformanceTarget, pipeline_params PipelineParams,
    python_named_params {str}, python_params [str], queue QueueSettings, spark_submit_params [str], sql_params {str}
Submit: access_control_list [JobAccessControlRequest], budget_policy_id str, duration_target str,
    email_notifications JobEmailNotifications, environment_variables [JobEnvironmentVariables], environments
    [JobEnvironment], git_source GitSource, health JobsHealthRules, idempotency_token str, notification_settings
    JobNotificationSettings, performance_target PerformanceTarget, queue QueueSettings, run_as JobRunAs, run_name
    str, tasks [SubmitTask], timeout_seconds int, usage_policy_id str, webhook_notifications WebhookNotifications
Repair: run_id int, dbt_commands [str], duration_target str, jar_params [str], job_parameters {str},
    latest_repair_id int, notebook_params {str}, performance_target PerformanceTarget, pipeline_params
    PipelineParams, python_named_params {str}, python_params [str], rerun_all_failed_tasks bool,
    rerun_dependent_tasks bool, rerun_tasks [str], spark_submit_params [str], sql_params {str}
Get: job_id int, include_trigger_state bool, page_token str
List: expand_tasks bool, limit int, name str, offset int, page_token str
Update: job_id int, fields_to_remove [str], new_settings JobSettings
Reset: job_id int, new_settings JobSettings
Delete: job_id int
GetRun: run_id int, include_history bool, include_resolved_values bool, page_token str
OneRun: run_id int
CancelAll: all_queued_runs bool, job_id int
Export: run_id int, views_to_export ViewsToExport
ListRuns: active_only bool, completed_only bool, expand_tasks bool, job_id int, limit int, offset int, page_token
    str, run_type RunType, start_time_from int, start_time_to int
"""

_STRUCTURES = """
JobSettings: budget_policy_id str, continuous Continuous, deployment JobDeployment, description str, duration_target
    str, edit_mode JobEditMode, email_notifications JobEmailNotifications, environment_variables
    [JobEnvironmentVariables], environments [JobEnvironment], format Format, git_source GitSource, health
    JobsHealthRules, job_clusters [JobCluster], max_concurrent_runs int, name str, notification_settings
    JobNotificationSettings, parameters [JobParameterDefinition], parent_path str, performance_target
    PerformanceTarget, queue QueueSettings, run_as JobRunAs, schedule CronSchedule, tags {str}, tasks [Task],
    timeout_seconds int, trigger TriggerSettings, triggers [TriggerConfiguration], usage_policy_id str,
    webhook_notifications WebhookNotifications
Continuous: maintenance_window MaintenanceWindow, pause_status PauseStatus, task_retry_mode TaskRetryMode
MaintenanceWindow: start_hour int, day_of_week DayOfWeek, timezone_id str
JobDeployment: kind JobDeploymentKind, deployment_id str, metadata_file_path str, version_id str
JobEmailNotifications: no_alert_for_skipped_runs bool, on_duration_warning_threshold_exceeded [str], on_failure
    [str], on_maintenance_complete [str], on_maintenance_start [str], on_start [str], on_streaming_backlog_exceeded
    [str], on_success [str]
JobEnvironmentVariables: environment_variables_key str, spec JobEnvironmentVariablesSpec
JobEnvironmentVariablesSpec: files [str], variables {str}
JobEnvironment: environment_key str, spec Environment
Environment: base_environment str, client str, dependencies [str], environment_version str, java_dependencies [str],
    project_environment str
GitSource: git_url str, git_provider GitProvider, git_branch str, git_commit str, git_snapshot GitSnapshot, git_tag
    str, job_source JobSource, sparse_checkout SparseCheckout
GitSnapshot: used_commit str
JobSource: job_config_path str, import_from_git_branch str, dirty_state JobSourceDirtyState
SparseCheckout: patterns [str]
JobsHealthRules: rules [JobsHealthRule]
JobsHealthRule: metric JobsHealthMetric, op JobsHealthOperator, value int
JobCluster: job_cluster_key str, new_cluster ClusterSpec, serverless_compute_id str
ClusterSpec: apply_policy_default_values bool, autoscale AutoScale, autotermination_minutes int, aws_attributes
    AwsAttributes, azure_attributes AzureAttributes, cluster_log_conf ClusterLogConf, cluster_name str, custom_tags
    {str}, data_security_mode DataSecurityMode, dependency_mode DependencyMode, docker_image DockerImage,
    driver_instance_pool_id str, driver_node_type_flexibility NodeTypeFlexibility, driver_node_type_id str,
    enable_elastic_disk bool, enable_local_disk_encryption bool, gcp_attributes GcpAttributes, init_scripts
    [InitScriptInfo], instance_pool_id str, is_single_node bool, kind Kind, node_type_id str, num_workers int,
    policy_id str, remote_disk_throughput int, runtime_engine RuntimeEngine, single_user_name str, spark_conf {str},
    spark_env_vars {str}, spark_version str, ssh_public_keys [str], total_initial_remote_disk_size int,
    use_ml_runtime bool, worker_node_type_flexibility NodeTypeFlexibility, workload_type WorkloadType
AutoScale: max_workers int, min_workers int
AwsAttributes: availability AwsAvailability, ebs_volume_count int, ebs_volume_iops int, ebs_volume_size int,
    ebs_volume_throughput int, ebs_volume_type EbsVolumeType, first_on_demand int, instance_profile_arn str,
    spot_bid_price_percent int, zone_id str
AzureAttributes: availability AzureAvailability, capacity_reservation_group str, first_on_demand int,
    log_analytics_info LogAnalyticsInfo, spot_bid_max_price float
LogAnalyticsInfo: log_analytics_primary_key str, log_analytics_workspace_id str
ClusterLogConf: dbfs DbfsStorageInfo, s3 S3StorageInfo, volumes VolumesStorageInfo
DbfsStorageInfo: destination str
S3StorageInfo: destination str, canned_acl str, enable_encryption bool, encryption_type str, endpoint str, kms_key
    str, region str
VolumesStorageInfo: destination str
DockerImage: basic_auth DockerBasicAuth, url str
DockerBasicAuth: password str, username str
NodeTypeFlexibility: alternate_node_type_ids [str], aws_context_id str
GcpAttributes: availability GcpAvailability, boot_disk_size int, confidential_compute_type ConfidentialComputeType,
    first_on_demand int, google_service_account str, local_ssd_count int, use_preemptible_executors bool, zone_id
    str
InitScriptInfo: abfss Adlsgen2Info, dbfs DbfsStorageInfo, file LocalFileInfo, gcs GcsStorageInfo, s3 S3StorageInfo,
    volumes VolumesStorageInfo, workspace WorkspaceStorageInfo
Adlsgen2Info: destination str
LocalFileInfo: destination str
GcsStorageInfo: destination str
WorkspaceStorageInfo: destination str
WorkloadType: clients ClientsTypes
ClientsTypes: jobs bool, notebooks bool
JobNotificationSettings: no_alert_for_canceled_runs bool, no_alert_for_skipped_runs bool
JobParameterDefinition: name str, default str
QueueSettings: enabled bool
JobRunAs: group_name str, service_principal_name str, user_name str
CronSchedule: quartz_cron_expression str, timezone_id str, pause_status PauseStatus, sql_condition
    SqlConditionConfiguration
SqlConditionConfiguration: sql_query_id str, warehouse_id str, trigger_mode SqlConditionTriggerMode
Task: task_key str, ai_runtime_task AiRuntimeTask, alert_task AlertTask, clean_rooms_notebook_task
    CleanRoomsNotebookTask, compute Compute, condition_task ConditionTask, dashboard_task DashboardTask,
    dbt_cloud_task DbtCloudTask, dbt_platform_task DbtPlatformTask, dbt_task DbtTask, depends_on [TaskDependency],
    description str, disable_auto_optimization bool, disabled bool, email_notifications TaskEmailNotifications,
    environment_key str, environment_variables_key str, existing_cluster_id str, for_each_task ForEachTask,
    gen_ai_compute_task GenAiComputeTask, health JobsHealthRules, job_cluster_key str, libraries [Library],
    max_retries int, min_retry_interval_millis int, new_cluster ClusterSpec, notebook_task NotebookTask,
    notification_settings TaskNotificationSettings, pipeline_task PipelineTask, power_bi_task PowerBiTask,
    python_operator_task PythonOperatorTask, python_wheel_task PythonWheelTask, retry_on_timeout bool, run_if RunIf,
    run_job_task RunJobTask, spark_jar_task SparkJarTask, spark_python_task SparkPythonTask, spark_submit_task
    SparkSubmitTask, sql_task SqlTask, timeout_seconds int, webhook_notifications WebhookNotifications
AiRuntimeTask: experiment str, deployments [DeploymentSpec], code_source_path str, docker_image_url str,
    mlflow_artifact_location str, mlflow_experiment_directory str, mlflow_run str, priority_class
    AiRuntimeTaskPriorityClass, unity_catalog_image_path str
DeploymentSpec: compute ComputeSpec, command_path str, name str
ComputeSpec: accelerator_type ComputeSpecAcceleratorType, accelerator_count int, provisioned_capacity_id str
AlertTask: alert_id str, parameters {str}, subscribers [AlertTaskSubscriber], warehouse_id str, workspace_path str
AlertTaskSubscriber: destination_id str, user_name str
CleanRoomsNotebookTask: clean_room_name str, notebook_name str, etag str, notebook_base_parameters {str}
Compute: hardware_accelerator HardwareAcceleratorType
ConditionTask: op ConditionTaskOp, left str, right str
DashboardTask: dashboard_id str, filters {str}, subscription Subscription, warehouse_id str
Subscription: attachment SubscriptionAttachment, custom_subject str, paused bool, subscribers
    [SubscriptionSubscriber]
SubscriptionAttachment: data_attachment SubscriptionAttachmentDataAttachment, page_attachment
    SubscriptionAttachmentPageAttachment
SubscriptionAttachmentDataAttachment: widgets [SubscriptionAttachmentDataAttachmentWidget], file_format
    SubscriptionAttachmentDataAttachmentFileFormat, include_applied_filters bool
SubscriptionAttachmentDataAttachmentWidget: page_id str, widget_id str
SubscriptionAttachmentPageAttachment: page_ids [str], page_selection
    SubscriptionAttachmentPageAttachmentPageSelection
SubscriptionSubscriber: destination_id str, user_name str
DbtCloudTask: connection_resource_name str, dbt_cloud_job_id int
DbtPlatformTask: connection_resource_name str, dbt_platform_job_id str
DbtTask: commands [str], catalog str, profiles_directory str, project_directory str, schema str, source Source,
    warehouse_id str
TaskDependency: task_key str, outcome str
TaskEmailNotifications: no_alert_for_skipped_runs bool, on_duration_warning_threshold_exceeded [str], on_failure
    [str], on_maintenance_complete [str], on_maintenance_start [str], on_start [str], on_streaming_backlog_exceeded
    [str], on_success [str]
ForEachTask: inputs str, task Task, concurrency int
GenAiComputeTask: dl_runtime_image str, command str, compute ComputeConfig, mlflow_experiment_name str, source
    Source, training_script_path str, yaml_parameters str, yaml_parameters_file_path str
ComputeConfig: num_gpus int, gpu_node_pool_id str, gpu_type str
Library: cran RCranLibrary, egg str, jar str, maven MavenLibrary, pypi PythonPyPiLibrary, requirements str, whl str
RCranLibrary: package str, repo str
MavenLibrary: coordinates str, exclusions [str], repo str
PythonPyPiLibrary: package str, repo str
NotebookTask: notebook_path str, base_parameters {str}, source Source, warehouse_id str
TaskNotificationSettings: alert_on_last_attempt bool, no_alert_for_canceled_runs bool, no_alert_for_skipped_runs
    bool
PipelineTask: pipeline_id str, full_refresh bool, full_refresh_selection [str], parameters {str},
    refresh_flow_selection [str], refresh_selection [str], reset_checkpoint_selection [str]
PowerBiTask: connection_resource_name str, power_bi_model PowerBiModel, refresh_after_update bool, tables
    [PowerBiTable], warehouse_id str
PowerBiModel: authentication_method AuthenticationMethod, model_name str, overwrite_existing bool, storage_mode
    StorageMode, workspace_name str
PowerBiTable: catalog str, name str, schema str, storage_mode StorageMode
PythonOperatorTask: main str, parameters [PythonOperatorTaskParameter]
PythonOperatorTaskParameter: name str, value str
PythonWheelTask: package_name str, entry_point str, named_parameters {str}, parameters [str]
RunJobTask: job_id int, dbt_commands [str], jar_params [str], job_parameters {str}, notebook_params {str},
    pipeline_params PipelineParams, python_named_params {str}, python_params [str], spark_submit_params [str],
    sql_params {str}
PipelineParams: full_refresh bool, full_refresh_selection [str], refresh_flow_selection [str], refresh_selection
    [str], reset_checkpoint_selection [str]
SparkJarTask: jar_uri str, main_class_name str, parameters [str], run_as_repl bool
SparkPythonTask: python_file str, parameters [str], source Source
SparkSubmitTask: parameters [str]
SqlTask: warehouse_id str, alert SqlTaskAlert, dashboard SqlTaskDashboard, file SqlTaskFile, parameters {str}, query
    SqlTaskQuery
SqlTaskAlert: alert_id str, pause_subscriptions bool, subscriptions [SqlTaskSubscription]
SqlTaskSubscription: destination_id str, user_name str
SqlTaskDashboard: dashboard_id str, custom_subject str, pause_subscriptions bool, subscriptions
    [SqlTaskSubscription]
SqlTaskFile: path str, source Source
SqlTaskQuery: query_id str
WebhookNotifications: on_duration_warning_threshold_exceeded [Webhook], on_failure [Webhook],
    on_maintenance_complete [Webhook], on_maintenance_start [Webhook], on_start [Webhook],
    on_streaming_backlog_exceeded [Webhook], on_success [Webhook]
Webhook: id str
TriggerSettings: file_arrival FileArrivalTriggerConfiguration, model ModelTriggerConfiguration, pause_status
    PauseStatus, periodic PeriodicTriggerConfiguration, sql_condition SqlConditionConfiguration, table_update
    TableUpdateTriggerConfiguration
FileArrivalTriggerConfiguration: url str, min_time_between_triggers_seconds int, wait_after_last_change_seconds int
ModelTriggerConfiguration: condition ModelTriggerConfigurationCondition, aliases [str],
    min_time_between_triggers_seconds int, securable_name str, wait_after_last_change_seconds int
PeriodicTriggerConfiguration: interval int, unit PeriodicTriggerConfigurationTimeUnit
TableUpdateTriggerConfiguration: table_names [str], condition Condition, min_time_between_triggers_seconds int,
    wait_after_last_change_seconds int
TriggerConfiguration: continuous ContinuousTriggerConfiguration, file_arrival FileArrivalTriggerConfiguration, model
    ModelTriggerConfiguration, pause_status PauseStatus, periodic PeriodicTriggerConfiguration, schedule
    CronTriggerConfiguration, sql_condition SqlConditionConfiguration, table_update TableUpdateTriggerConfiguration
ContinuousTriggerConfiguration: maintenance_window MaintenanceWindow, task_retry_mode TaskRetryMode
CronTriggerConfiguration: quartz_cron_expression str, timezone_id str
SubmitTask: task_key str, ai_runtime_task AiRuntimeTask, alert_task AlertTask, clean_rooms_notebook_task
    CleanRoomsNotebookTask, compute Compute, condition_task ConditionTask, dashboard_task DashboardTask,
    dbt_cloud_task DbtCloudTask, dbt_platform_task DbtPlatformTask, dbt_task DbtTask, depends_on [TaskDependency],
    description str, disable_auto_optimization bool, disabled bool, email_notifications JobEmailNotifications,
    environment_key str, environment_variables_key str, existing_cluster_id str, for_each_task ForEachTask,
    gen_ai_compute_task GenAiComputeTask, health JobsHealthRules, libraries [Library], max_retries int,
    min_retry_interval_millis int, new_cluster ClusterSpec, notebook_task NotebookTask, notification_settings
    TaskNotificationSettings, pipeline_task PipelineTask, power_bi_task PowerBiTask, python_operator_task
    PythonOperatorTask, python_wheel_task PythonWheelTask, retry_on_timeout bool, run_if RunIf, run_job_task
    RunJobTask, spark_jar_task SparkJarTask, spark_python_task SparkPythonTask, spark_submit_task SparkSubmitTask,
    sql_task SqlTask, timeout_seconds int, webhook_notifications WebhookNotifications
JobAccessControlRequest: group_name str, permission_level JobPermissionLevel, service_principal_name str, user_name
    str
"""

_ENUMS = """
DayOfWeek: FRIDAY, MONDAY, SATURDAY, SUNDAY, THURSDAY, TUESDAY, WEDNESDAY
PauseStatus: PAUSED, UNPAUSED
TaskRetryMode: NEVER, ON_FAILURE
JobDeploymentKind: BUNDLE, SYSTEM_MANAGED
JobEditMode: EDITABLE, UI_LOCKED
Format: MULTI_TASK, SINGLE_TASK
GitProvider: awsCodeCommit, azureDevOpsServices, bitbucketCloud, bitbucketServer, gitHub, gitHubEnterprise,
    gitLab, gitLabEnterpriseEdition
JobSourceDirtyState: DISCONNECTED, NOT_SYNCED
JobsHealthMetric: RUN_DURATION_SECONDS, STREAMING_BACKLOG_BYTES, STREAMING_BACKLOG_FILES,
    STREAMING_BACKLOG_RECORDS, STREAMING_BACKLOG_SECONDS
JobsHealthOperator: GREATER_THAN
AwsAvailability: ON_DEMAND, SPOT, SPOT_WITH_FALLBACK
EbsVolumeType: GENERAL_PURPOSE_SSD, THROUGHPUT_OPTIMIZED_HDD
AzureAvailability: ON_DEMAND_AZURE, SPOT_AZURE, SPOT_WITH_FALLBACK_AZURE
DataSecurityMode: DATA_SECURITY_MODE_AUTO, DATA_SECURITY_MODE_DEDICATED, DATA_SECURITY_MODE_STANDARD,
    LEGACY_PASSTHROUGH, LEGACY_SINGLE_USER, LEGACY_SINGLE_USER_STANDARD, LEGACY_TABLE_ACL, NONE, SINGLE_USER,
    USER_ISOLATION
DependencyMode: DEPENDENCY_MODE_AUTO, DEPENDENCY_MODE_CLUSTER_LIBRARIES, DEPENDENCY_MODE_ENVIRONMENTS
GcpAvailability: ON_DEMAND_GCP, PREEMPTIBLE_GCP, PREEMPTIBLE_WITH_FALLBACK_GCP
ConfidentialComputeType: CONFIDENTIAL_COMPUTE_TYPE_NONE, SEV_SNP
Kind: CLASSIC_PREVIEW
RuntimeEngine: NULL, PHOTON, STANDARD
PerformanceTarget: PERFORMANCE_OPTIMIZED, STANDARD
SqlConditionTriggerMode: QUERY_RETURNS_ROWS, RESULT_VALUE_CHANGES
ComputeSpecAcceleratorType: GPU_1xA10, GPU_1xH100, GPU_8xB300, GPU_8xH100
AiRuntimeTaskPriorityClass: BEST_EFFORT, CRITICAL, NORMAL
HardwareAcceleratorType: GPU_1xA10, GPU_1xH100, GPU_8xB300, GPU_8xH100
ConditionTaskOp: EQUAL_TO, GREATER_THAN, GREATER_THAN_OR_EQUAL, LESS_THAN, LESS_THAN_OR_EQUAL, NOT_EQUAL
SubscriptionAttachmentDataAttachmentFileFormat: FILE_FORMAT_CSV, FILE_FORMAT_EXCEL, FILE_FORMAT_TSV
SubscriptionAttachmentPageAttachmentPageSelection: PAGE_SELECTION_ALL, PAGE_SELECTION_SUBSET
Source: GIT, WORKSPACE
AuthenticationMethod: OAUTH, PAT
StorageMode: DIRECT_QUERY, DUAL, IMPORT
RunIf: ALL_DONE, ALL_FAILED, ALL_SUCCESS, AT_LEAST_ONE_FAILED, AT_LEAST_ONE_SUCCESS, NONE_FAILED
ModelTriggerConfigurationCondition: MODEL_ALIAS_SET, MODEL_CREATED, MODEL_VERSION_READY
PeriodicTriggerConfigurationTimeUnit: DAYS, HOURS, MINUTES, WEEKS
Condition: ALL_UPDATED, ANY_UPDATED
JobPermissionLevel: CAN_MANAGE, CAN_MANAGE_RUN, CAN_VIEW, IS_OWNER
ViewsToExport: ALL, CODE, DASHBOARDS
RunType: JOB_RUN, SUBMIT_RUN, WORKFLOW_RUN
"""


def _entries(text: str) -> list[tuple[str, list[str]]]:
    joined = text.replace("\n    ", " ").strip().splitlines()
    pairs = [line.partition(": ") for line in joined]
    return [(name, [field.strip() for field in fields.split(",")]) for name, _, fields in pairs]


def _types(text: str) -> dict[str, dict[str, str]]:
    return {name: dict(field.split(" ") for field in fields) for name, fields in _entries(text)}


REQUESTS: dict[str, dict[str, str]] = _types(_REQUESTS)
"""The requests by a short name: what their bodies or queries hold."""
TYPES: dict[str, dict[str, str]] = _types(_STRUCTURES)
ENUMS: dict[str, tuple[str, ...]] = {name: tuple(values) for name, values in _entries(_ENUMS)}
