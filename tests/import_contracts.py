"""The kind of import contract that may name modules which are not written yet."""

from grimp import ImportGraph
from importlinter import ContractCheck
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.domain.imports import ModuleExpression

ROOT_PACKAGE = "runyard"


class ForbiddenWhenPresent(ForbiddenContract):
    """A forbidden contract that binds each of our modules from the moment it exists.

    import-linter's own kind refuses a name that is not in the graph, so a contract could only be written
    after the last of its packages. Modules of other projects are passed on as they are.
    """

    type_name = "forbidden_when_present"

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        for field in ("source_modules", "forbidden_modules"):
            setattr(self, field, {module for module in getattr(self, field) if _is_present(module, graph)})
        return super().check(graph, verbose)


def _is_present(module: ModuleExpression, graph: ImportGraph) -> bool:
    name = module.expression
    is_ours = name.split(".")[0] == ROOT_PACKAGE
    return not is_ours or module.has_wildcard_expression() or name in graph.modules
