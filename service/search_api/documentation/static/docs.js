"use strict";
// Credentials stay in this page's memory: nothing is stored, a reload forgets them.
const ui = SwaggerUIBundle({
  url: "/api/v1/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  docExpansion: "list",
  persistAuthorization: false,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  validatorUrl: null,
});
const said = document.getElementById("said");

document.getElementById("login").addEventListener("submit", async (event) => {
  event.preventDefault();
  const form = event.target;
  try {
    const answer = await fetch("/api/v1/auth/login", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ email: form.email.value, password: form.password.value }),
    });
    const body = await answer.json();
    if (!body.success) throw new Error(body.error.message);
    ui.preauthorizeApiKey("login", body.data.token);
    form.password.value = "";
    said.textContent = `Signed in as ${body.data.user.email}.`;
  } catch (error) {
    said.textContent = `Not signed in: ${error.message}`;
  }
});

document.getElementById("key").addEventListener("submit", (event) => {
  event.preventDefault();
  const field = event.target.key;
  ui.preauthorizeApiKey("apiKey", field.value.trim());
  field.value = "";
  said.textContent = "The API key is sent with every call that needs one.";
});
