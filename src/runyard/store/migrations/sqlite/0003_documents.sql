-- Definitions that belong to one face and that the core need not understand. Times are milliseconds since 1970.

CREATE TABLE document (
  workspace TEXT NOT NULL,
  dialect TEXT NOT NULL,
  kind TEXT NOT NULL,
  key TEXT NOT NULL,
  version INTEGER NOT NULL,
  body TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  updated_at INTEGER NOT NULL,
  updated_by TEXT NOT NULL,
  PRIMARY KEY (workspace, dialect, kind, key)
) WITHOUT ROWID;
