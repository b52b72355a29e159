// Where the dashboard begins.
import { mount } from "svelte";
import App from "./App.svelte";
import "./app.css";
import { connection } from "./lib/state/page/connection.svelte";
import { router } from "./lib/state/page/router.svelte";

connection.attend();
router.attend();
const target = document.getElementById("app");
if (target) mount(App, { target });
