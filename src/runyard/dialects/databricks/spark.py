"""Tasks that Spark itself runs, through `spark-submit` of an installation that the options name. Pure."""

from __future__ import annotations

from runyard.core.actions import Shell
from runyard.core.errors import invalid
from runyard.dialects.databricks import paths
from runyard.dialects.databricks.parts import Parts, Settings, Spark

OPTIONS = {
    "spark_home": "The folder of a Spark installation, which holds bin/spark-submit. Without it spark_jar_task and "
    "spark_submit_task are refused.",
    "spark_master": "Where Spark runs its work, such as spark://HOST:7077; local[*] by default.",
    "java_home": "The folder of a Java that Spark can use; by default the one of the server's environment.",
}
"""What an operator can set: `RUNYARD_OPTIONS=databricks.NAME=VALUE:...`."""


def installation(options: dict[str, str]) -> Spark | None:
    """The one that the options name; raises invalid for an option that this dialect does not have."""
    for name in options:
        if name not in OPTIONS:
            raise invalid(f"There is no option databricks.{name}; there are {', '.join(OPTIONS)}.", field="options")
    return Spark(**options) if options.get("spark_home") else None


def jar(settings: Settings, parts: Parts) -> Shell:
    """A main class of a jar; the first jar of the task's libraries is the application, the others go with it."""
    given, spark = settings["spark_jar_task"], _installed(parts)
    if not given.get("main_class_name"):
        raise invalid("spark_jar_task needs a main_class_name.")
    jars, more = _libraries(settings, parts)
    if given.get("jar_uri"):  # deprecated there: a name in the folder of jars
        jars.insert(0, paths.file(parts.surroundings.roots, f"dbfs:/FileStore/jars/{given['jar_uri'].lstrip('/')}"))
    if not jars:
        raise invalid("spark_jar_task needs a jar among the task's libraries, such as {'jar': 'dbfs:/app.jar'}.")
    if jars[1:]:
        more += ["--jars", ",".join(jars[1:])]
    command = ["--class", given["main_class_name"], *more, jars[0], *parts.refs(given.get("parameters", []))]
    return _run(spark, command, settings, parts)


def submit(settings: Settings, parts: Parts) -> Shell:
    """What spark-submit is given; paths on DBFS and in the workspace become those of our disk."""
    given, spark = settings["spark_submit_task"].get("parameters", []), _installed(parts)
    if not given:
        raise invalid("spark_submit_task needs parameters, such as ['--class', 'Main', 'dbfs:/app.jar'].")
    found = [",".join(_place(one, parts) for one in text.split(",")) for text in parts.refs(given)]
    return _run(spark, found, settings, parts)


def _run(spark: Spark, arguments: list[str], settings: Settings, parts: Parts) -> Shell:
    environment = {"SPARK_HOME": spark.spark_home, **parts.environment(settings)}
    if spark.java_home:
        environment["JAVA_HOME"] = spark.java_home
    program = f"{spark.spark_home.rstrip('/')}/bin/spark-submit"
    return Shell(command=[program, "--master", spark.spark_master, *arguments], environment=environment)


def _installed(parts: Parts) -> Spark:
    spark = parts.surroundings.spark
    if spark is None:
        raise invalid(
            "it needs Spark, and this server knows none. Set the option databricks.spark_home to the folder of an "
            "installation (RUNYARD_OPTIONS=databricks.spark_home=FOLDER), or the setting record_only, which keeps "
            "such tasks as a record only."
        )
    return spark


def _libraries(settings: Settings, parts: Parts) -> tuple[list[str], list[str]]:
    """The jars, as files, and what else spark-submit is told to fetch."""
    jars, coordinates, excluded, places = [], [], [], []
    for one in settings.get("libraries", []):
        if "jar" in one:
            jars.append(paths.file(parts.surroundings.roots, one["jar"]))
        maven = one.get("maven", {})
        coordinates += [maven["coordinates"]] if maven.get("coordinates") else []
        excluded += maven.get("exclusions", [])
        places += [maven["repo"]] if maven.get("repo") else []
    lists = (("--packages", coordinates), ("--exclude-packages", excluded), ("--repositories", places))
    return jars, [word for name, values in lists if values for word in (name, ",".join(values))]


def _place(text: str, parts: Parts) -> str:
    known = text.startswith(("dbfs:/", "/dbfs/", "/Workspace/"))
    return paths.file(parts.surroundings.roots, text) if known else text
