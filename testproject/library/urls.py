from django.urls import path

from library import reports, views

app_name = "library"
urlpatterns = [
    path("", views.home, name="home"),
    path("upload/", views.upload, name="upload"),
    path("process/", views.process_all, name="process"),
    path("documents/<int:pk>/", views.document, name="document"),
    path("photos/<int:pk>/", views.photo, name="photo"),
    path("items/<slug:kind>/<int:pk>/process/", views.process_one, name="process-one"),
    path("jobs/<int:pk>/stop/", views.stop, name="stop"),
    path("report/", reports.overview, name="reports"),
    path("report/build/", reports.build, name="build"),
    path("report/<int:pk>/", reports.report, name="report"),
    path("report/<int:pk>/wait/", reports.wait, name="wait"),
]
