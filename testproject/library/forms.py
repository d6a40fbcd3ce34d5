from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.core.validators import FileExtensionValidator

from library.shelves import KINDS

MAX_UPLOAD_BYTES = 5 * 1024 * 1024


class UploadForm(forms.Form):
    file = forms.FileField(
        help_text="A text (.txt, .md) or a picture (.jpg, .png), up to 5 MB.",
        validators=[FileExtensionValidator([ending.removeprefix(".") for ending in KINDS])],
        widget=forms.FileInput(attrs={"accept": ",".join(KINDS)}),
    )
    title = forms.CharField(max_length=200, required=False, help_text="Left empty, the file gives its name.")

    def clean_file(self) -> UploadedFile:
        file = self.cleaned_data["file"]
        if file.size > MAX_UPLOAD_BYTES:
            raise forms.ValidationError(f"{file.name} has {file.size} bytes; the library takes up to 5 MB.")
        return file
