from django.urls import path

from notices import views

app_name = "notices"
urlpatterns = [
    path("", views.box, name="box"),
    path("digest/", views.schedule_digest, name="digest"),
    path("<int:pk>/welcome/", views.greet, name="welcome"),
    path("<int:pk>/remind/", views.remind, name="remind"),
    path("<int:pk>/flash/", views.flash, name="flash"),
    path("<int:pk>/sync/", views.sync, name="sync"),
]
