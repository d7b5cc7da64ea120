"""URL converters."""

from werkzeug.routing import BaseConverter


class IdConverter(BaseConverter):
    """``<id:document_id>``: a UUID in canonical form; anything else is no such address."""

    regex = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
