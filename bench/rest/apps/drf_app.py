"""Django REST framework as a team would write it: three queries behind every request.

The session row with its person, the document, the membership; a create writes the document
and its activity in one transaction. ``python drf_app.py fill`` makes the data and prints ids.
"""

import json
import os
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import django
import jwt
from django.conf import settings

DATA = Path(os.environ["BENCH_DATA"])
SECRET = "bench-rest-secret-of-32-characters"

settings.configure(
    SECRET_KEY=SECRET,
    ALLOWED_HOSTS=["*"],
    ROOT_URLCONF=__name__,
    INSTALLED_APPS=["rest_framework"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": DATA / "drf.db",
            "CONN_MAX_AGE": None,
            "OPTIONS": {
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
                "transaction_mode": "IMMEDIATE",
                "timeout": 20,
            },
        }
    },
    REST_FRAMEWORK={
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
        "DEFAULT_AUTHENTICATION_CLASSES": [],
        "DEFAULT_PERMISSION_CLASSES": [],
        "UNAUTHENTICATED_USER": None,
    },
)
django.setup()

from django.core.wsgi import get_wsgi_application  # noqa: E402
from django.db import connection, models, transaction  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework import authentication, exceptions, generics, permissions, serializers  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402


class Table(models.Model):
    """A row with an id of its own."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4)

    class Meta:
        abstract = True
        app_label = "bench"


class Person(Table):
    email = models.EmailField(unique=True)
    is_authenticated = True


class Session(Table):
    person = models.ForeignKey(Person, models.CASCADE)
    revoked = models.DateTimeField(null=True)


class Tenant(Table):
    name = models.CharField(max_length=200)


class Membership(Table):
    tenant = models.ForeignKey(Tenant, models.CASCADE)
    person = models.ForeignKey(Person, models.CASCADE)

    class Meta(Table.Meta):
        constraints = [models.UniqueConstraint(fields=["tenant", "person"], name="one_each")]


class Document(Table):
    tenant = models.ForeignKey(Tenant, models.CASCADE)
    title = models.CharField(max_length=300)
    body = models.TextField()
    created = models.DateTimeField()
    updated = models.DateTimeField()

    class Meta(Table.Meta):
        indexes = [models.Index(fields=["tenant", "updated"], name="by_change")]


class Activity(Table):
    tenant = models.ForeignKey(Tenant, models.CASCADE)
    document = models.ForeignKey(Document, models.CASCADE)
    person = models.ForeignKey(Person, models.CASCADE)
    verb = models.CharField(max_length=40)
    at = models.DateTimeField()


class SessionAuthentication(authentication.BaseAuthentication):
    """A JWT that names a session; the session is read again on each request."""

    def authenticate(self, request: Request) -> tuple[Person, Session]:
        token = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            claims = jwt.decode(token, SECRET, algorithms=["HS256"])
            found = Session.objects.select_related("person").get(id=claims["sid"], revoked=None)
        except (jwt.InvalidTokenError, Session.DoesNotExist):
            raise exceptions.AuthenticationFailed() from None
        return found.person, found


class OfMember(permissions.BasePermission):
    """Members of a tenant see what is in it."""

    def has_object_permission(self, request: Request, view: Any, obj: Document) -> bool:
        return is_member(request, obj.tenant_id)


def is_member(request: Request, tenant: Any) -> bool:
    found: bool = Membership.objects.filter(tenant=tenant, person=request.user).exists()
    return found


class DocumentSerializer(serializers.ModelSerializer):
    class Meta:
        model = Document
        fields = ("id", "tenant", "title", "body", "created", "updated")
        read_only_fields = ("tenant", "created", "updated")


class OneDocument(generics.RetrieveAPIView):
    authentication_classes = [SessionAuthentication]
    permission_classes = [permissions.IsAuthenticated, OfMember]
    queryset = Document.objects.all()
    serializer_class = DocumentSerializer


class Documents(generics.ListCreateAPIView):
    authentication_classes = [SessionAuthentication]
    permission_classes = [permissions.IsAuthenticated]
    serializer_class = DocumentSerializer

    def get_queryset(self) -> Any:
        return Document.objects.filter(tenant=self.kwargs["tenant"]).order_by("-updated")[:50]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if not is_member(request, kwargs["tenant"]):
            raise exceptions.NotFound()

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        rows = self.get_serializer(self.get_queryset(), many=True)
        return Response({"items": rows.data})

    def perform_create(self, serializer: Any) -> None:
        now, tenant = datetime.now(UTC), self.kwargs["tenant"]
        with transaction.atomic():
            made = serializer.save(tenant_id=tenant, created=now, updated=now)
            Activity.objects.create(
                tenant_id=tenant,
                document=made,
                person=self.request.user,
                verb="created",
                at=now,
            )


urlpatterns = [
    path("documents/<uuid:pk>", OneDocument.as_view()),
    path("tenants/<uuid:tenant>/documents", Documents.as_view()),
]
application = get_wsgi_application()


def fill() -> dict[str, Any]:
    """Make tables, people and the documents given on standard input."""
    with connection.schema_editor() as schema:
        for model in (Person, Session, Tenant, Membership, Document, Activity):
            schema.create_model(model)
    people = [Person.objects.create(email=f"{n}@bench.example.org") for n in range(2)]
    tenants = [Tenant.objects.create(name=f"Bench {n}") for n in range(2)]
    for person, tenant in zip(people, tenants, strict=True):
        Membership.objects.create(person=person, tenant=tenant)
    given = [json.loads(line) for line in sys.stdin]
    rows = [_document(tenants[0], one) for one in given]
    Document.objects.bulk_create(rows, batch_size=1000)
    foreign = _document(tenants[1], given[0])
    foreign.save(force_insert=True)
    session = Session.objects.create(person=people[0])
    claims = {"sub": str(people[0].id), "sid": str(session.id)}
    return {
        "token": jwt.encode(claims, SECRET, algorithm="HS256"),
        "tenants": [str(tenant.id) for tenant in tenants],
        "foreign": str(foreign.id),
        "ids": [str(row.id) for row in rows],
    }


def _document(tenant: Tenant, given: dict[str, Any]) -> Document:
    at = datetime.fromisoformat(given["updated"])
    return Document(tenant=tenant, title=given["title"], body=given["body"], created=at, updated=at)


if __name__ == "__main__":
    print(json.dumps(fill()))
