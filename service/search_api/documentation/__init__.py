"""The API's description: the OpenAPI document, and the page in which every endpoint can be tried."""
